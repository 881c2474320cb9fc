"""Weights out of TensorFlow SavedModels, read as plain arrays: no graph is ever run or even imported.

Two kinds are met. Those of Keras and of csbdeep keep variables in a checkpoint beside the graph; frozen ones, as
Fiji needs them, hold the weights as constants of the graph, found by the convolutions and normalizations that use
them. What a graph could do besides computing is refused by name, since other programs would run it.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji.archive import LARGEST_WEIGHTS, Files
from dl4fiji.errors import InputError
from dl4fiji.networks.weights import LayerWeights

GRAPH = "saved_model.pb"
_INDEX = "variables/variables.index"

_OPERATIONS = """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool AvgPool3D BatchToSpaceND BiasAdd BroadcastTo Cast Ceil
    ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cumsum DepthToSpace DepthwiseConv2dNative
    Elu Equal Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual
    Identity IdentityN LeakyRelu Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr LogSoftmax MatMul Max
    MaxPool MaxPool3D Maximum Mean Min Minimum MirrorPad Mul Neg NoOp NotEqual Pack Pad PadV2 Placeholder
    PlaceholderWithDefault Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Size Slice Softmax Softplus
    SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StridedSlice Sub Sum Tanh Tile
    TopKV2 Transpose Unpack ZerosLike
"""

ALLOWED_OPERATIONS = frozenset(_OPERATIONS.split())
"""Operations that TensorFlow 1.15 knows and that only compute: none touches files, network or Python."""

_VARIABLE_OPERATIONS = """
    Assign AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp Bitcast DisableCopyOnRead FusedBatchNorm
    FusedBatchNormV2 If IsVariableInitialized Merge MergeV2Checkpoints PartitionedCall RandomStandardNormal
    RandomUniform ReadVariableOp RestoreV2 RngReadAndSkip RngSkip SaveV2 ShardedFilename Snapshot
    StatefulPartitionedCall StatelessIf StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomUniform
    StatelessRandomUniformV2 StaticRegexFullMatch StopGradient StringJoin Switch TruncatedNormal VarHandleOp
    VarIsInitializedOp VariableV2
"""
_KNOWN_OPERATIONS = ALLOWED_OPERATIONS | frozenset(_VARIABLE_OPERATIONS.split())
"""Also what keeps, starts, saves and loads variables, and draws dropout; the files are those of the model, and
nothing is run here."""

_ROLES = ("kernel", "depthwise_kernel", "gamma", "beta", "bias", "moving_mean", "moving_variance")
"""Names of the weights of a layer in Keras' order."""
_CONVOLUTIONS = {"Conv2D": 1, "Conv3D": 1, "Conv2DBackpropInput": 1, "Conv3DBackpropInputV2": 1}
"""Which input of an operation is the kernel."""


def read_saved_model(path: Path) -> Any:
    """Return the protocol buffer of a ``saved_model.pb`` without running anything of it."""
    return _parse(path.read_bytes(), str(path))


def _parse(content: bytes, title: str) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2  # pyright: ignore[reportMissingImports]

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(content)
    except DecodeError as error:
        raise InputError(f"{title} is no TensorFlow model: export the model again.") from error
    return saved


def read_saved_weights(files: Files, folder: str, title: str) -> list[LayerWeights]:
    """Read the weights of a SavedModel.

    Parameters
    ----------
    files
        Where it is; foreign zips are checked before.
    folder
        Its folder in ``files``, empty or ended by ``/``.
    title
        What errors call it.

    Returns
    -------
    list
        One entry per layer, in the order of the variables or of the graph.

    Raises
    ------
    InputError
        If it holds no such weights, or an operation that does more than compute, which is named.
    """
    saved = _parse(files.read(folder + GRAPH, LARGEST_WEIGHTS), title)
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    for graph in graphs:
        _refuse_operations(graph, title)
    if f"{folder}{_INDEX}" in files.names:
        layers = _from_checkpoint(files, folder, graphs, title)
    else:
        layers = [layer for graph in graphs[:1] for layer in _Frozen(graph, title).layers()]
    if not layers:
        raise InputError(f"{title} has no weights of layers: choose a package with Keras weights.")
    return layers


def _refuse_operations(graph: Any, title: str) -> None:
    """Raise InputError if a ``GraphDef`` holds an operation that no network for images consists of."""
    own = {function.signature.name for function in graph.library.function}
    names = {node.op for node in graph.node}
    names |= {node.op for function in graph.library.function for node in function.node_def}
    unknown = sorted(names - _KNOWN_OPERATIONS - own)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise InputError(
            f"{title} holds the operation {', '.join(unknown[:3])}{more}, which could do more than compute and is "
            "not read for safety: choose a package with Keras weights."
        )


def _from_checkpoint(files: Files, folder: str, graphs: list[Any], title: str) -> list[LayerWeights]:
    """Read the variables; TensorFlow's own reader needs them on the disk."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    with tempfile.TemporaryDirectory(prefix="dl4fiji-weights-") as scratch:
        for name in files.names:
            if re.fullmatch(re.escape(f"{folder}variables/") + r"variables\.(index|data-\d+-of-\d+)", name):
                (Path(scratch) / name.rpartition("/")[2]).write_bytes(files.read(name, LARGEST_WEIGHTS))
        try:
            reader = tf.train.load_checkpoint(str(Path(scratch) / "variables"))
            shapes = reader.get_variable_to_shape_map()
            keys = _variables(tf, reader, shapes, graphs)
            _check_size(sum(math.prod(shapes[key]) for _, key in keys), title)
            arrays = [(name, np.asarray(reader.get_tensor(key), np.float32)) for name, key in keys]
        except (tf.errors.OpError, ValueError, RuntimeError, TypeError, LookupError) as error:
            raise InputError(f"The variables of {title} are damaged or missing: get the model again.") from error
    return _grouped(arrays)


def _variables(tf: Any, reader: Any, shapes: dict[str, Any], graphs: list[Any]) -> list[tuple[str, str]]:
    """Return name and key in the checkpoint of each weight of a layer, in the order of layers."""
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in shapes:  # TensorFlow 2: by objects
        from tensorflow.core.protobuf import trackable_object_graph_pb2  # pyright: ignore[reportMissingImports]

        objects = trackable_object_graph_pb2.TrackableObjectGraph()
        objects.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        slots = {slot.slot_variable_node_id for node in objects.nodes for slot in node.slot_variables}
        found = [
            (attribute.full_name, attribute.checkpoint_key)
            for number, node in enumerate(objects.nodes)
            if number not in slots
            for attribute in node.attributes
        ]
        found.sort(key=lambda pair: _place(pair[1]))
    else:  # by names, in the order in which the graph made them
        found = []
        for graph in graphs[:1]:
            for node in graph.node:
                if node.op in ("VarHandleOp", "VariableV2", "Variable"):
                    name = node.attr["shared_name"].s.decode() or node.name
                    found.append((name, name))
    return [(name, key) for name, key in found if key in shapes and _is_weight(name)]


def _place(key: str) -> int:
    """Return the number of the layer that Keras gives in a key; what has none stays where it is, behind."""
    match = re.match(r"layer_with_weights-(\d+)/", key)
    return int(match[1]) if match else 1 << 30


def _is_weight(name: str) -> bool:
    """Tell a layer's weight from what an optimizer keeps."""
    layer, _, role = name.rpartition("/")
    return bool(layer) and role in _ROLES and not re.search(r"(^|/)(Adam|training|SGD|RMSprop)(/|$)", layer)


def _grouped(arrays: list[tuple[str, np.ndarray]]) -> list[LayerWeights]:
    """Put variables named ``layer/role`` together, layers in the order of their first one."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays:
        layer, _, role = name.rpartition("/")
        layers.setdefault(layer, {})[role] = array
    return [
        LayerWeights(layer.rpartition("/")[2], tuple(weights[role] for role in _ROLES if role in weights))
        for layer, weights in layers.items()
    ]


def _check_size(numbers: int, title: str) -> None:
    if 4 * numbers > LARGEST_WEIGHTS:
        raise InputError(f"{title} claims more than {LARGEST_WEIGHTS / 2**30:.0f} GiB of weights: do not use it.")


class _Frozen:
    """Constants of a ``GraphDef`` that are weights, told by the operations that take them."""

    def __init__(self, graph: Any, title: str) -> None:
        self._graph, self._title = graph, title
        self._nodes = {node.name: node for node in graph.node}
        self._size = 0

    def layers(self) -> list[LayerWeights]:
        """Return the layers in the order of the graph."""
        found: dict[str, list[np.ndarray]] = {}  # by the name of the node that has the layer's first weight
        products = dict(self._scaled())
        for node in self._graph.node:
            if node.op in _CONVOLUTIONS:
                found[node.name] = [self._constant(node, _CONVOLUTIONS[node.op])]
            elif node.op == "BiasAdd":
                before = self._input(node, 0)
                if before is not None and before.name in found:
                    found[before.name].append(self._constant(node, 1))
            elif node.op.startswith("FusedBatchNorm"):
                found[node.name] = [self._constant(node, number) for number in (1, 2, 3, 4)]
            elif node.name in products:
                found[node.name] = products[node.name]
        # A kernel of one number without bias is no layer but a means: so StarDist's export spreads its places.
        whole = {name: arrays for name, arrays in found.items() if len(arrays) > 1 or arrays[0].size > 1}
        return [LayerWeights(_layer_name(name), tuple(arrays)) for name, arrays in whole.items()]

    def _scaled(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Yield batch normalizations that are written out: x·s + (β - μ·s) with s = γ·rsqrt(σ² + ε)."""
        products = [node for node in self._graph.node if node.op == "Mul"]
        for scale in products:
            roots = [self._input(scale, number) for number in (0, 1)]
            root = next((node for node in roots if node is not None and node.op == "Rsqrt"), None)
            if root is None:
                continue
            gamma = self._constant(scale, 1 - roots.index(root))
            variance = self._constant(self._require(self._input(root, 0)), 0)
            users = [node for node in products if scale.name in (self._name(node, 0), self._name(node, 1))]
            for user in users:  # one scales the image, the other the mean, which is a constant
                other = 1 - [self._name(user, 0), self._name(user, 1)].index(scale.name)
                if self._is_constant(user, other):
                    shift = next(node for node in self._graph.node if node.op == "Sub" and self._takes(node, user.name))
                    yield scale.name, [gamma, self._constant(shift, 0), self._constant(user, other), variance]

    def _takes(self, node: Any, name: str) -> bool:
        return any(self._name(node, number) == name for number in range(len(node.input)))

    def _name(self, node: Any, number: int) -> str:
        """Return the name of the node that an input comes from, beyond those that only pass it on."""
        if number >= len(node.input):
            return ""
        name = node.input[number].lstrip("^").partition(":")[0]
        for _ in range(16):
            source = self._nodes.get(name)
            if source is None or source.op not in ("Identity", "ReadVariableOp", "StopGradient") or not source.input:
                break
            name = source.input[0].lstrip("^").partition(":")[0]
        return name

    def _input(self, node: Any, number: int) -> Any:
        return self._nodes.get(self._name(node, number))

    def _require(self, node: Any) -> Any:
        if node is None:
            raise InputError(f"The graph of {self._title} is damaged: get the model again.")
        return node

    def _is_constant(self, node: Any, number: int) -> bool:
        source = self._input(node, number)
        return source is not None and source.op == "Const"

    def _constant(self, node: Any, number: int) -> np.ndarray:
        """Return an input as an array; the graph may claim a tensor much larger than it is."""
        if not self._is_constant(node, number):
            raise InputError(
                f"{self._title} has weights that are neither variables nor constants ({node.name}): choose a package "
                "with Keras weights."
            )
        from tensorflow import make_ndarray  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

        tensor = self._input(node, number).attr["value"].tensor
        self._size += math.prod(max(0, dim.size) for dim in tensor.tensor_shape.dim)
        _check_size(self._size, self._title)
        try:
            return np.asarray(make_ndarray(tensor), np.float32)
        except (ValueError, TypeError) as error:
            raise InputError(f"The graph of {self._title} is damaged: get the model again.") from error


def _layer_name(node: str) -> str:
    """Return the layer of a node such as ``network/model/middle_0/Conv2D`` or ``…/batchnorm/mul``."""
    parts = [part for part in node.split("/")[:-1] if part != "batchnorm"]
    return parts[-1] if parts else node
