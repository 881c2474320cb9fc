"""A graph without variables that every TensorFlow engine of Fiji loads, 1.15 to 2.10.

Today's SavedModels fail there with ``attr 'debug_name' not in Op VarHandleOp`` and the like. Measured to run in
TensorFlow Java 1.15.0, 2.7.4 and 2.10.1: variables turned into constants, function library cleared, producer 27,
default attributes stripped, saved by the builder of TensorFlow 1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dl4fiji.errors import InputError
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.training.saved_model import ALLOWED_OPERATIONS, read_saved_model

PRODUCER = 27
"""Version of the graph's form; TensorFlow 1.15 reads it, and no operation used here needs a newer one."""

TAG = "serve"
SIGNATURE = "serving_default"
INPUT = "input"
OUTPUT = "output"


@dataclass(frozen=True)
class FrozenGraph:
    """A graph of constants.

    Parameters
    ----------
    definition
        The ``GraphDef``; its input is the placeholder ``input``, its outputs are nodes named as in ``outputs``.
    input_shape
        Shape of the input, None where free.
    outputs
        Names of the output nodes, the main output first.
    """

    definition: Any
    input_shape: tuple[int | None, ...]
    outputs: tuple[str, ...]


def check_operations(graph: Any, where: str) -> None:
    """Raise InputError if a ``GraphDef`` holds an operation outside `ALLOWED_OPERATIONS` or a function.

    Fused batch normalization of volumes is refused too: TensorFlow 1.15 cannot run it.
    """
    names = {node.op for node in graph.node}
    names |= {node.op for function in graph.library.function for node in function.node_def}
    unknown = sorted(names - ALLOWED_OPERATIONS - {function.signature.name for function in graph.library.function})
    if unknown:
        raise InputError(
            f"{where} holds the operation {', '.join(unknown)}, which Fiji's TensorFlow 1.15 lacks or which could do "
            "more than compute: build the network without it."
        )
    for node in graph.node:
        if node.op == "FusedBatchNormV3" and node.attr["data_format"].s == b"NDHWC":
            raise InputError(
                f"{where} holds a fused batch normalization of volumes ({node.name}), which TensorFlow 1.15 cannot "
                "run: write it as multiplication and addition."
            )


@contextlib.contextmanager
def _plain_batch_normalization(model: Any) -> Iterator[None]:
    """Let batch normalizations of volumes be traced as multiply and add, see `check_operations`."""
    changed = []
    for layer in model.submodules if model is not None else ():
        if type(layer).__name__.startswith("BatchNormalization") and getattr(layer, "fused", False):
            spec = getattr(layer, "input_spec", None)
            if getattr(spec, "ndim", None) == 5:
                layer.fused = False
                changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            layer.fused = True


def freeze(
    function: Callable[[Any], dict[str, Any]],
    input_shape: Sequence[int | None],
    outputs: Sequence[str],
    model: Any = None,
) -> FrozenGraph:
    """Turn a function on one float32 tensor into a `FrozenGraph`.

    Parameters
    ----------
    function
        Takes a tensor (N, spatial, C) and returns a dictionary of tensors; may call a Keras model.
    input_shape
        Shape of its input, None for free sizes.
    outputs
        Keys of the dictionary, in the order in which they are to be listed.
    model
        The Keras model that ``function`` calls, for what must be traced differently. It stays as it was.
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import (  # pyright: ignore[reportMissingImports]
        convert_variables_to_constants_v2,
    )

    with _plain_batch_normalization(model):
        traced = tf.function(lambda x: [function(x)[name] for name in outputs]).get_concrete_function(
            tf.TensorSpec(list(input_shape), tf.float32, name=INPUT)
        )
    frozen = convert_variables_to_constants_v2(traced)
    definition = frozen.graph.as_graph_def()
    definition.library.Clear()
    definition.versions.producer = PRODUCER
    definition.versions.min_consumer = 0

    graph = tf.Graph()
    with graph.as_default():
        placeholder = tf.compat.v1.placeholder(tf.float32, list(input_shape), INPUT)
        found = tf.import_graph_def(
            definition,
            input_map={frozen.inputs[0].name: placeholder},
            return_elements=[tensor.name for tensor in frozen.outputs],
            name="network",
        )
        for name, tensor, wanted in zip(outputs, found, frozen.outputs, strict=True):
            tensor.set_shape(wanted.shape)
            tf.identity(tensor, name)
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), list(outputs))
    needed.library.Clear()
    needed.versions.producer = PRODUCER
    needed.versions.min_consumer = 0
    check_operations(needed, "The network")
    return FrozenGraph(needed, tuple(input_shape), tuple(outputs))


def write_saved_model(frozen: FrozenGraph, folder: Path) -> None:
    """Write ``frozen`` as a SavedModel into ``folder``, which must not exist.

    Tag ``serve``, signature ``serving_default``; its keys are ``input`` and the names of the outputs.
    ``variables/`` is there and empty: Fiji's programs look for it.
    """
    tf = import_tensorflow()
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        tf.import_graph_def(frozen.definition, name="")
        signature = v1.saved_model.signature_def_utils.predict_signature_def(
            inputs={INPUT: graph.get_tensor_by_name(f"{INPUT}:0")},
            outputs={name: graph.get_tensor_by_name(f"{name}:0") for name in frozen.outputs},
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, [TAG], signature_def_map={SIGNATURE: signature}, strip_default_attrs=True
        )
        builder.save()
    _set_producer(folder / "saved_model.pb")
    (folder / "variables").mkdir(exist_ok=True)
    fingerprint = folder / "fingerprint.pb"
    fingerprint.unlink(missing_ok=True)  # of today's TensorFlow only, and wrong after `_set_producer`


def _set_producer(path: Path) -> None:
    """Set the version of the graph in a SavedModel's file; the builder writes its own."""
    saved = read_saved_model(path)
    for meta in saved.meta_graphs:
        meta.graph_def.versions.producer = PRODUCER
        meta.graph_def.versions.min_consumer = 0
        meta.graph_def.library.Clear()
    path.write_bytes(saved.SerializeToString(deterministic=True))
