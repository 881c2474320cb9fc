"""Frozen graphs compute what Keras computes, and hold nothing that Fiji's engines lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.data.normalization import (
    FixedNormalization,
    Normalization,
    PercentileNormalization,
    ZScoreNormalization,
    fit,
)
from dl4fiji.errors import InputError
from dl4fiji.export.frozen_graph import (
    PRODUCER,
    FrozenGraph,
    check_operations,
    freeze,
    read_saved_model,
    write_saved_model,
)
from dl4fiji.export.onnx import run_onnx, to_onnx
from dl4fiji.export.serving import network_function, offset_and_scale, pad_to_multiple
from dl4fiji.keras_setup import import_tensorflow
from tiny_models import exported, smooth


@pytest.fixture(scope="module")
def tf() -> Any:
    return import_tensorflow()


def _run(tf: Any, frozen: FrozenGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Run a frozen graph by itself, in the way of TensorFlow 1."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        tf.import_graph_def(frozen.definition, name="")
        fetched = session.run([f"{name}:0" for name in frozen.outputs], {"input:0": x})
    return dict(zip(frozen.outputs, fetched, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (7, 17)])
def test_the_graph_mirrors_as_numpy_does(tf: Any, size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).random((2, *size, 3), np.float32)
    padded = pad_to_multiple(tf, tf.constant(x), (4, 8)).numpy()
    extra = [(0, 0), *((0, -length % step) for length, step in zip(size, (4, 8), strict=True)), (0, 0)]
    np.testing.assert_array_equal(padded, np.pad(x, extra, mode="symmetric"))


@pytest.mark.parametrize(
    "normalization",
    [
        PercentileNormalization(),
        PercentileNormalization(low=0, high=100),
        PercentileNormalization(low=33.3, high=66.6),
        ZScoreNormalization(),
        FixedNormalization(mean=(5.0, 6.0), std=(2.0, 3.0)),
    ],
)
def test_the_graph_normalizes_as_python_does(tf: Any, normalization: Normalization) -> None:
    x = np.stack([smooth(31, 47, seed=seed) for seed in range(4)]).reshape(2, 2, 31, 47).transpose(0, 2, 3, 1)
    offset, scale = (
        np.broadcast_to(value.numpy(), (2, 1, 1, 2))
        for value in offset_and_scale(tf, tf.constant(x, tf.float32), normalization)
    )
    for sample in range(2):
        expected = fit(normalization, x[sample], "YXC")
        np.testing.assert_allclose(offset[sample, 0, 0], expected.offset, rtol=1e-5)
        np.testing.assert_allclose(scale[sample, 0, 0], expected.scale, rtol=1e-5)


def test_batch_normalization_of_volumes_is_written_out(tf: Any, tmp_path: Path) -> None:
    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input((None, None, None, 2)), layers.Conv3D(4, 3, padding="same"), layers.BatchNormalization()]
    )
    model.layers[1].set_weights([np.random.default_rng(number).random(4) + 0.5 for number in range(4)])
    frozen = freeze(network_function(tf, model), [None, None, None, None, 2], ["output"], model)
    operations = {node.op for node in frozen.definition.node}
    assert "FusedBatchNormV3" not in operations
    x = np.random.default_rng(0).random((1, 4, 6, 8, 2), np.float32)
    expected = model(x, training=False).numpy()
    np.testing.assert_allclose(_run(tf, frozen, x)["output"], expected, atol=1e-5)
    np.testing.assert_allclose(run_onnx(to_onnx(frozen, "n"), x)["output"], expected, atol=1e-5)
    assert model.layers[1].fused, "the model must stay as it was"


def test_operations_that_do_more_than_compute_are_refused(tf: Any) -> None:
    def read(x: Any) -> dict[str, Any]:
        return {"output": x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)}

    with pytest.raises(InputError, match="ReadFile"):
        freeze(read, [None, 4], ["output"])


def test_python_operations_are_refused(tf: Any) -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None])
        tf.compat.v1.py_func(lambda value: value, [x], tf.float32)
    with pytest.raises(InputError, match="PyFunc"):
        check_operations(graph.as_graph_def(), "It")


def test_the_saved_model_is_in_fijis_form(tf: Any, tmp_path: Path) -> None:
    frozen = freeze(lambda x: {"output": x * 2.0, "scale": x + 1.0}, [None, None, 3], ["output", "scale"])
    write_saved_model(frozen, tmp_path / "model")
    (meta,) = read_saved_model(tmp_path / "model" / "saved_model.pb").meta_graphs
    assert list(meta.meta_info_def.tags) == ["serve"]
    assert meta.meta_info_def.stripped_default_attrs
    assert meta.graph_def.versions.producer == PRODUCER
    assert not meta.graph_def.library.function
    signature = meta.signature_def["serving_default"]
    assert {key: info.name for key, info in signature.inputs.items()} == {"input": "input:0"}
    assert {key: info.name for key, info in signature.outputs.items()} == {"output": "output:0", "scale": "scale:0"}
    assert [dim.size for dim in signature.inputs["input"].tensor_shape.dim] == [-1, -1, 3]
    assert (tmp_path / "model" / "variables").is_dir()
    assert sorted(entry.name for entry in (tmp_path / "model").iterdir()) == ["saved_model.pb", "variables"]


def test_the_saved_model_is_the_same_each_time(tf: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_saved_model(freeze(lambda x: {"output": x * 2.0}, [None, 3], ["output"]), tmp_path / name)
    first, second = ((tmp_path / name / "saved_model.pb").read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_damaged_saved_model_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\xff\xff nothing of the kind \xff")
    with pytest.raises(InputError, match="no TensorFlow model"):
        read_saved_model(tmp_path / "saved_model.pb")


@pytest.mark.parametrize("variant", ["plane", "volume", "probabilistic"])
def test_onnx_takes_any_batch_and_size(variant: str) -> None:
    model = exported(variant)
    shape = (5, 19, 33)[-len(model.read().axes) + 1 :]
    channels = model.read().channels_in
    x = np.stack([np.stack([smooth(*shape, seed=3 * n + c) for c in range(channels)], -1) for n in range(2)])
    both = run_onnx(model.package / "model.onnx", x.astype(np.float32))
    for number in range(2):
        single = run_onnx(model.package / "model.onnx", x[number : number + 1].astype(np.float32))
        assert single["output"].shape[:-1] == (1, *shape)
        np.testing.assert_allclose(both["output"][number], single["output"][0], rtol=1e-4, atol=1e-2)
