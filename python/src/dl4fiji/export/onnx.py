"""A frozen graph as ONNX, for ONNX Runtime, Fiji on Apple Silicon, QuPath, ilastik and napari."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji.errors import DL4FijiError
from dl4fiji.export.frozen_graph import INPUT, FrozenGraph
from dl4fiji.keras_setup import import_tensorflow

OPSET = 15
"""Version of ONNX's operations; 13 to 17 were measured to work, and 15 is read by runtimes from 2021 on."""


def to_onnx(frozen: FrozenGraph, name: str) -> bytes:
    """Return ``frozen`` as an ONNX model whose tensors bear the names of the signature's keys."""
    tf = import_tensorflow()
    from tf2onnx import tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    inputs, outputs = [f"{INPUT}:0"], [f"{output}:0" for output in frozen.outputs]
    with tf.Graph().as_default():
        optimized = tf_loader.tf_optimize(inputs, outputs, frozen.definition)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(optimized, name="")
        converted = process_tf_graph(
            graph,
            opset=OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename={tensor: tensor.removesuffix(":0") for tensor in inputs + outputs},
        )
    model = _optimize(converted).make_model(name)
    _plain_upsampling(model)
    model.producer_name = "dl4fiji"
    return model.SerializeToString()


def _optimize(graph: Any) -> Any:
    """Return tf2onnx's ``graph`` optimized, without the step that may leave an axis too many.

    Where a tensor has one channel, tf2onnx writes the transposition between channels first and last as a reshape of
    computed shape. Its ``reshape_optimizer`` makes that a reshape to (1, N, spatial, 1) with a squeeze behind it, and
    puts the squeeze before the consumers of the reshape. If the reshape is the graph's output there are none, and the
    squeeze is lost. Whether it is, or an identity still follows, depends on the order of sets of names, which changes
    from process to process and with what was converted before. The computed shape costs nothing.
    """
    from tf2onnx import optimizer

    steps = {name: step for name, step in optimizer._optimizers.items() if name != "reshape_optimizer"}
    return optimizer.optimize_graph(graph, optimizers=steps)


def _plain_upsampling(model: Any) -> None:
    """Replace a deprecated way to say nearest neighbour; for whole factors both pick the same pixels."""
    for node in model.graph.node:
        if node.op_type != "Resize":
            continue
        for attribute in node.attribute:
            if attribute.name == "coordinate_transformation_mode" and attribute.s == b"tf_half_pixel_for_nn":
                attribute.s = b"asymmetric"
            elif attribute.name == "nearest_mode":
                attribute.s = b"floor"


def run_onnx(model: bytes | Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return all outputs of an ONNX model for ``x`` (N, spatial, C; float32), on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values: list[Any] = list(session.run(names, {INPUT: x}))
    return dict(zip(names, values, strict=True))


def check_onnx(model: bytes, x: np.ndarray, expected: dict[str, np.ndarray], tolerance: float) -> float:
    """Return the largest difference between ONNX Runtime's outputs for ``x`` and the expected ones.

    Raises
    ------
    DL4FijiError
        If it exceeds ``tolerance``, or if the shapes differ: the conversion went wrong, which is a mistake of the
        program.
    """
    found = run_onnx(model, x)
    for name, values in expected.items():
        if found[name].shape != values.shape:  # as arrays they might still be compared, by broadcasting
            raise DL4FijiError(
                f"The ONNX form of the network puts out the shape {found[name].shape} where the network puts out "
                f"{values.shape}: please report this with the model's model.json."
            )
    difference = max(float(np.max(np.abs(found[name] - expected[name]))) for name in expected)
    if not difference <= tolerance:
        raise DL4FijiError(
            f"The ONNX form of the network differs from the network by {difference:.2g}, more than {tolerance:.2g}: "
            "please report this with the model's model.json."
        )
    return difference
