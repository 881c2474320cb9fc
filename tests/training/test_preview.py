"""A preview shows the patches that the training will draw, and no more is read than these need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji import networks
from dl4fiji.data.image import ImageSource
from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.patches import PatchSource
from dl4fiji.data.writer import write_image
from dl4fiji.errors import DataError
from dl4fiji.jobs.job import DataRequest
from dl4fiji.network import target_form
from dl4fiji.options import check_options
from dl4fiji.training.montage import montage
from dl4fiji.training.preview import draw_preview

OPTIONS = {
    "care-2d": {"patch_size": "32x32", "depth": 2}, "noise2void-2d": {"patch_size": "32x32"},
    "unet-2d": {"patch_size": "32x32"}, "stardist-2d": {"patch_size": "32x32", "grid": "2x2"},
    "stardist-3d": {"patch_size": "8x32x32", "grid": "1x2x2", "batch_size": 2},
}  # fmt: skip


def make_images(folder: Path, volumes: bool, count: int) -> DataRequest:
    """Write pictures of blobs with the blobs' labels as targets."""
    shape = (10, 60, 70) if volumes else (60, 70)
    for role in ("source", "target"):
        (folder / role).mkdir()
    for number in range(count):
        smooth = ndimage.gaussian_filter(np.random.default_rng(number).random(shape), 3)
        labels = ndimage.label(smooth > np.quantile(smooth, 0.7))[0].astype(np.uint16)
        picture = (smooth / smooth.max() * 4000).astype(np.uint16)
        write_image(folder / "source" / f"{number}.tif", picture, "ZYX"[-len(shape) :])
        write_image(folder / "target" / f"{number}.tif", labels, "ZYX"[-len(shape) :])
    return DataRequest(source=str(folder / "source"), target=str(folder / "target"))


@pytest.mark.parametrize("images", [2, 14])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_preview_shows_the_patches_of_the_training(name: str, images: int, tmp_path: Path) -> None:
    network = networks.get(name)
    data = make_images(tmp_path, "3d" in name, images)
    options = check_options(network.Options, OPTIONS[name], network.title)
    shown = draw_preview(network, data, options)

    form = target_form(network, options)
    dataset = open_pairs(data, network.axes, paired=network.data_form == "paired", form=form)
    dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    options, _ = network.settle(options, dataset)
    patches = PatchSource(dataset, network.normalization(options, dataset), options, network.axes)
    drawn = [patches.draw_with_places(0, step) for step in range(-(-9 // options.batch_size))]
    places = [place for _, _, some in drawn for place in some][:9]
    sources = np.concatenate([source for source, _, _ in drawn])[:9]
    targets = np.concatenate([target for _, target, _ in drawn])[:9] if network.data_form == "paired" else None
    assert [patch["image"] for patch in shown.patches] == [image for image, _ in places]
    assert [list(map(tuple, patch["window"].values())) for patch in shown.patches] == [
        [(part.start, part.stop) for part in window] for _, window in places
    ]
    if name != "noise2void-2d":  # its normalization is measured on the images that are read
        np.testing.assert_array_equal(
            shown.picture, montage(list(sources), None if targets is None else list(targets), form)
        )
    if form == "labels":
        assert targets is not None
        assert [patch["objects"] for patch in shown.patches] == [len(set(t.ravel().tolist()) - {0}) for t in targets]
    assert shown.text.startswith("9 training patches of ")


def test_only_what_is_shown_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_images(tmp_path, False, 40)
    read: set[str] = set()
    region = ImageSource.region

    def watched(self: ImageSource, **parts: Any) -> np.ndarray:
        read.add(str(self.path))
        return region(self, **parts)

    monkeypatch.setattr(ImageSource, "region", watched)
    monkeypatch.setattr("dl4fiji.training.preview._MEMORY", 1000)
    network = networks.get("stardist-2d")
    shown = draw_preview(network, data, check_options(network.Options, OPTIONS["stardist-2d"], network.title))
    assert len({patch["image"] for patch in shown.patches}) == 9
    assert len([path for path in read if "source" in path]) <= 12
    assert len([path for path in read if "target" in path]) <= 12 + 3


def test_what_is_wrong_is_said_as_for_a_training(tmp_path: Path) -> None:
    data = make_images(tmp_path, False, 3)
    network = networks.get("care-2d")
    options = check_options(network.Options, {"patch_size": "64x64", "depth": 2}, network.title)
    with pytest.raises(DataError, match="less than a patch of 64×64"):
        draw_preview(network, data, options)


def test_touching_labels_are_seen_apart_and_masks_through() -> None:
    source = np.full((20, 20, 1), 0.5, np.float32)
    source[0, 0], source[0, 1] = 0, 1
    labels = np.zeros((20, 20, 1), np.int32)
    labels[5:15, 2:10], labels[5:15, 10:18] = 1, 2
    side = 168
    picture = montage([source], [labels], "labels")[10 : 10 + side, 10 + side + 2 :][:, :side]
    row = picture[side // 2]
    left, right = row[int(5 / 20 * side)], row[int(14 / 20 * side)]
    assert tuple(left) != tuple(right)
    assert any(not pixel.any() for pixel in row[int(0.45 * side) : int(0.55 * side)]), "a gap between both"
    assert not row[: int(1.5 / 20 * side)].any()
    masks = montage([source], [(labels > 0).astype(np.float32)], "foreground")[10 : 10 + side, 10 + side + 2 :][
        :, :side
    ]
    outside, inside = masks[side // 2, 3], masks[side // 2, side // 2]
    assert len(set(outside.tolist())) == 1
    assert inside[0] > inside[2]


def test_a_preview_needs_no_tensorflow() -> None:
    import subprocess

    code = "import dl4fiji.service.preview_child, sys; assert not {'tensorflow', 'jpype', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
