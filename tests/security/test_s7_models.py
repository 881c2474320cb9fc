"""Row S7: models that execute are refused by name, and nothing of them runs."""

from __future__ import annotations

import ast
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import dl4fiji
from dl4fiji.errors import InputError
from dl4fiji.export.frozen_graph import freeze, read_saved_model, write_saved_model
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.networks import get
from dl4fiji.training.transfer import find_start

CARE = get("care-2d")


def _model() -> Any:
    return CARE.build(CARE.Options(depth=1, kernel_size=3, first_filters=4, patch_size="16x16"), 1, 1)


class _Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "weights.h5", "model"])
def test_s7_pickles(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(_Evil(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"is a pickle, which runs code when it is read and is not read for safety"):
        find_start(str(tmp_path / name), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_s7_pytorch_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(_Evil(tmp_path / "ran")))
        archive.writestr("model/version", "3\n")
    with pytest.raises(InputError, match="is a PyTorch file, a pickle, which runs code"):
        find_start(str(tmp_path / "model.pth"), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_s7_package_with_pytorch_weights_alone(tmp_path: Path) -> None:
    text = {"weights": {"pytorch_state_dict": {"source": "w.pt"}, "torchscript": {"source": "s.pt"}}}
    (tmp_path / "rdf.yaml").write_text(yaml.safe_dump(text))
    (tmp_path / "w.pt").write_bytes(pickle.dumps(_Evil(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"no weights to start from \(only pytorch_state_dict, torchscript\)"):
        find_start(str(tmp_path), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_s7_yaml_makes_no_objects(tmp_path: Path) -> None:
    (tmp_path / "rdf.yaml").write_text(f"weights: !!python/object/apply:pathlib.Path.touch ['{tmp_path}/ran']\n")
    with pytest.raises(InputError, match="is no bioimage"):
        find_start(str(tmp_path), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_s7_lambda_layers(tmp_path: Path) -> None:
    tf = import_tensorflow()
    image = tf.keras.Input((8, 8, 1))
    marks: list[int] = []
    features = tf.keras.layers.Conv2D(1, 3)(tf.keras.layers.Lambda(lambda x: marks.append(1) or x, name="trap")(image))
    tf.keras.Model(image, features).save(tmp_path / "whole.h5")
    tf.keras.Model(image, features).save_weights(tmp_path / "weights.h5")
    marks.clear()
    with pytest.raises(InputError, match=r"layer 'trap' of the kind Lambda, which is code .* save its weights alone"):
        find_start(str(tmp_path / "whole.h5"), tmp_path)
    assert [layer.shapes for layer in find_start(str(tmp_path / "weights.h5"), tmp_path).layers] == ["3×3×1×1 + 1"]
    assert marks == []


def test_s7_layers_of_someones_own(tmp_path: Path) -> None:
    _model().save(tmp_path / "whole.h5")
    with h5py.File(tmp_path / "whole.h5", "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["class_name"] = "Evil>Layer"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="of the kind Evil>Layer, which is code"):
        find_start(str(tmp_path / "whole.h5"), tmp_path)


def test_s7_keras_3_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
    with pytest.raises(InputError, match=r"is a \.keras file, which may hold code"):
        find_start(str(tmp_path / "model.keras"), tmp_path)


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/hostname", "/"), h5py.SoftLink("/elsewhere")])
def test_s7_hdf5_links(tmp_path: Path, link: Any) -> None:
    _model().save_weights(tmp_path / "linked.h5")
    with h5py.File(tmp_path / "linked.h5", "a") as file:
        file["down_level_0_no_0/trap"] = link
    with pytest.raises(InputError, match=r"has a link \('trap'\) .*for safety"):
        find_start(str(tmp_path / "linked.h5"), tmp_path)


def test_s7_hdf5_external_and_virtual_data(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    _model().save_weights(tmp_path / "external.h5")
    with h5py.File(tmp_path / "external.h5", "a") as file:
        file.create_dataset("d", (16,), "f4", external=[(str(tmp_path / "secret"), 0, 64)])
    _model().save_weights(tmp_path / "virtual.h5")
    with h5py.File(tmp_path / "virtual.h5", "a") as file:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "d", (4,))
        file.create_virtual_dataset("d", layout)
    for name in ("external.h5", "virtual.h5"):
        with pytest.raises(InputError, match=r"keeps 'd' in another file, which is not read for safety"):
            find_start(str(tmp_path / name), tmp_path)


def test_s7_hdf5_that_would_not_end(tmp_path: Path) -> None:
    _model().save_weights(tmp_path / "round.h5")
    with h5py.File(tmp_path / "round.h5", "a") as file:
        file["middle_0/around"] = file["/"]  # a group that holds itself
    assert find_start(str(tmp_path / "round.h5"), tmp_path).layers
    _model().save_weights(tmp_path / "vast.h5")
    with h5py.File(tmp_path / "vast.h5", "a") as file:
        file.create_dataset("vast", (2**20, 2**20), "f4", chunks=(64, 64), compression="gzip")  # a few kilobytes
    with pytest.raises(InputError, match="claims more than 4 GiB"):
        find_start(str(tmp_path / "vast.h5"), tmp_path)


def _read_file(tf: Any, x: Any) -> Any:
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def _write_file(tf: Any, x: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("/tmp/dl4fiji-must-not-be-written", "x")]):
        return tf.identity(x)


def _python(tf: Any, x: Any) -> Any:
    return tf.reshape(tf.numpy_function(lambda value: value, [x], tf.float32), tf.shape(x))


@pytest.mark.parametrize(
    ("operation", "trap"), [("ReadFile", _read_file), ("WriteFile", _write_file), ("PyFunc", _python)]
)
@pytest.mark.parametrize("kind", ["TensorFlow 2", "frozen"])
def test_s7_graphs_that_do_more_than_compute(
    tmp_path: Path, operation: str, trap: Callable[[Any, Any], Any], kind: str
) -> None:
    tf = import_tensorflow()
    model = _model()
    if kind == "TensorFlow 2":
        module = tf.Module()
        module.model = model
        module.call = tf.function(lambda x: trap(tf, model(x)), [tf.TensorSpec([None, None, None, 1], tf.float32)])
        tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.call)
    else:
        write_saved_model(freeze(lambda x: {"o": model(x)}, [None, None, None, 1], ["o"], model), tmp_path / "model")
        saved = read_saved_model(tmp_path / "model" / "saved_model.pb")
        saved.meta_graphs[0].graph_def.node.add(name="trap", op=operation)
        (tmp_path / "model" / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(InputError, match=rf"holds the operation {operation}.*, which could do more than compute"):
        find_start(str(tmp_path / "model"), tmp_path)
    assert not Path("/tmp/dl4fiji-must-not-be-written").exists()


def test_s7_the_same_graph_without_the_trap_is_read(tmp_path: Path) -> None:
    tf = import_tensorflow()
    model, other = _model(), _model()
    module = tf.Module()
    module.model = model
    module.call = tf.function(model, [tf.TensorSpec([None, None, None, 1], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.call)
    find_start(str(tmp_path / "model"), tmp_path).apply(other)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


_FORBIDDEN = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve",
}  # fmt: skip


def test_s7_the_source_reads_nothing_that_executes() -> None:
    files = sorted(Path(dl4fiji.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"allow_pickle\s*=\s*True", text), file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert not {alias.name.partition(".")[0] for alias in node.names} & _FORBIDDEN, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in _FORBIDDEN, file
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec"), (file, called)
                assert not called.endswith((".load_model", "saved_model.load")), (file, called)
