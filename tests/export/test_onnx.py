"""The conversion of frozen graphs to ONNX, and what guards it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.errors import DL4FijiError, InputError
from dl4fiji.export.frozen_graph import OUTPUT, freeze
from dl4fiji.export.onnx import _optimize, check_onnx, to_onnx
from dl4fiji.export.serving import network_function
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.networks import NETWORKS
from dl4fiji.prediction.runners import OnnxRunner


def _channels_last(channels: int, dimensions: int) -> bytes:
    """Return an ONNX model whose last operation brings the channels from the first place to the last."""
    from onnx import TensorProto, helper

    sizes: list[str] = list("ZYX"[-dimensions:])
    node = helper.make_node("Transpose", ["input"], ["output"], perm=[0, *range(2, dimensions + 2), 1])
    graph = helper.make_graph(
        [node],
        "channels",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", channels, *sizes])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", *sizes, channels])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_optimizing_keeps_the_axes_of_the_output(channels: int, dimensions: int) -> None:
    """With no identity left at the end, all of tf2onnx's steps together put out (1, N, spatial, 1)."""
    import_tensorflow()
    import onnx
    from tf2onnx.graph import GraphUtil
    from tf2onnx.optimizer import IdentityOptimizer, optimize_graph

    graph = GraphUtil.create_graph_from_onnx_model(onnx.load_from_string(_channels_last(channels, dimensions)))
    graph = optimize_graph(graph, optimizers={"remove_identity": IdentityOptimizer})
    model = _optimize(graph).make_model("channels")
    x = np.random.default_rng(0).normal(size=(2, channels, *[5, 6, 7][:dimensions])).astype(np.float32)
    expected = np.moveaxis(x, 1, -1)
    assert len(model.graph.output[0].type.tensor_type.shape.dim) == expected.ndim
    assert check_onnx(model.SerializeToString(), x, {OUTPUT: expected}, 0.0) == 0


@pytest.mark.nightly
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_every_one_of_many_conversions_has_the_axes_of_the_network(network: Any) -> None:
    """The order in which tf2onnx meets nodes depends on their names, which count on from conversion to conversion."""
    small = {"depth": 2, "first_filters": 2, "kernel_size": 3}
    options = network.Options(**{name: value for name, value in small.items() if name in network.Options.model_fields})
    model = network.build(options, 1, 1)
    frozen = freeze(network_function(import_tensorflow(), model), [None] * len(network.axes) + [1], [OUTPUT], model)
    x = np.random.default_rng(0).normal(size=(1, *[16] * (len(network.axes) - 1), 1)).astype(np.float32)
    expected = {OUTPUT: model.predict_on_batch(x)}
    for _ in range(40):
        check_onnx(to_onnx(frozen, network.name), x, expected, 1e-4)


def _unsqueezed(x: np.ndarray) -> bytes:
    """Return an ONNX model that puts out its input with an axis more."""
    from onnx import TensorProto, helper

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [0])
    node = helper.make_node("Unsqueeze", ["input", "axes"], ["output"])
    graph = helper.make_graph(
        [node],
        "unsqueezed",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None] * x.ndim)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * (x.ndim + 1))],
        [axes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()


def test_an_axis_too_many_is_noticed_though_the_values_are_right(tmp_path: Path) -> None:
    x = np.ones((1, 4, 4, 1), np.float32)
    model = _unsqueezed(x)
    with pytest.raises(DL4FijiError, match=r"the shape \(1, 1, 4, 4, 1\) where the network puts out \(1, 4, 4, 1\)"):
        check_onnx(model, x, {"output": x}, 1.0)
    (tmp_path / "model.onnx").write_bytes(model)
    with pytest.raises(InputError, match="puts out 5 axes but takes in 4"):
        OnnxRunner(tmp_path / "model.onnx")
