"""Weights from HDF5 files: order, mismatches, and files that lead elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dl4fiji.errors import InputError
from dl4fiji.networks import get
from dl4fiji.networks.weights import assign_weights, read_weights

CARE = get("care-2d")


def _model(**values: Any) -> Any:
    return CARE.build(CARE.Options(**{"depth": 1, "kernel_size": 3, "first_filters": 4, **values}), 1, 1)


def test_weights_return_as_they_were_saved(tmp_path: Path) -> None:
    model, other = _model(), _model()
    model.save_weights(tmp_path / "a.h5")
    assign_weights(other, read_weights(tmp_path / "a.h5"), "a.h5")
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_weights_of_a_whole_model_file_are_read_but_not_its_code(tmp_path: Path) -> None:
    model, other = _model(), _model()
    model.save(tmp_path / "whole.h5")
    assign_weights(other, read_weights(tmp_path / "whole.h5"), "whole.h5")
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kernel_size": 5}, r"layer 'down_level_0_no_0' is 5×5×1×4 \+ 4 where this network has 3×3×1×4 \+ 4"),
        ({"first_filters": 8}, r"layer 'down_level_0_no_0' is 3×3×1×8 \+ 8 where this network has 3×3×1×4 \+ 4"),
        ({"depth": 2}, r"layer 'down_level_1_no_1' is 3×3×8×8 \+ 8 where this network has 3×3×8×4 \+ 4"),
        ({"probabilistic": True}, r"layers with weights where this network has"),
    ],
)
def test_mismatch_names_the_first_layer_that_differs(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    _model(**values).save_weights(tmp_path / "other.h5")
    model = _model()
    before = model.get_weights()
    with pytest.raises(InputError, match=sentence):
        assign_weights(model, read_weights(tmp_path / "other.h5"), "The other model")
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/hostname", "/"), h5py.SoftLink("/elsewhere")])
def test_links_are_not_followed(tmp_path: Path, link: Any) -> None:
    _model().save_weights(tmp_path / "linked.h5")
    with h5py.File(tmp_path / "linked.h5", "a") as file:
        file["trap"] = link
    with pytest.raises(InputError, match=r"'trap'.*for safety"):
        read_weights(tmp_path / "linked.h5")


def test_data_in_other_files_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("d", (16,), "f4", external=[(str(tmp_path / "secret"), 0, 64)])
    with pytest.raises(InputError, match=r"another file.*for safety"):
        read_weights(tmp_path / "outside.h5")


@pytest.mark.parametrize("content", [b"", b"not an HDF5 file", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_weights_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.h5").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.h5 has no Keras weights"):
        read_weights(tmp_path / "broken.h5")


def test_hdf5_without_layers_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(InputError, match="no Keras weights"):
        read_weights(tmp_path / "other.h5")
