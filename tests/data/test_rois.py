"""Outlines drawn in ImageJ become labels, pixel by pixel as ImageJ fills them."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from dl4fiji.data.image import open_image
from dl4fiji.data.pairs import check_data, open_pairs
from dl4fiji.data.roi_shapes import rasterize
from dl4fiji.data.rois import RoiReader, open_rois
from dl4fiji.data.writer import write_image
from dl4fiji.errors import DataError
from dl4fiji.options import TrainingOptions

PROGRAM = Path(__file__).with_name("FillInImageJ.java")
SMALL = TrainingOptions(patch_size=(16, 16), batch_size=4, patches_per_image=4)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ImagejRoi], np.ndarray]:
    """Outlines of all kinds that ImageJ saved, and what it fills for each."""
    if shutil.which("javac") is None:
        pytest.skip("no JDK: install one, for instance `apt-get install default-jdk-headless`")
    jars = sorted((Path.home() / ".m2" / "repository" / "net" / "imagej" / "ij").glob("*/ij-1.5*.jar"))
    if not jars:
        pytest.skip("ImageJ has not been fetched from Maven Central yet: `dl4fiji fiji --headless` does so")
    folder = tmp_path_factory.mktemp("filled")
    command = ["java", "-Djava.awt.headless=true", "-cp", str(jars[-1]), str(PROGRAM)]
    files = folder / "outlines.zip", folder / "filled.tif"
    done = subprocess.run([*command, *map(str, files)], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    with zipfile.ZipFile(files[0]) as archive:
        rois = [ImagejRoi.frombytes(archive.read(entry)) for entry in archive.infolist()]
    return rois, tifffile.imread(files[1])


@pytest.mark.jvm
def test_outlines_of_all_kinds_are_filled_as_imagej_fills_them(
    filled: tuple[list[ImagejRoi], np.ndarray], tmp_path: Path
) -> None:
    rois, planes = filled
    kinds = {roi.name.rsplit(" ", 1)[0] for roi in rois}
    assert len(kinds) == 14
    assert len(rois) == len(planes) == 420
    image = _image(tmp_path / "a.tif", planes.shape[1:])
    for roi, plane in zip(rois, planes, strict=True):
        file = tmp_path / "one.roi"
        roi.tofile(file)
        if not plane.any():
            with pytest.raises(DataError, match="no outline that encloses an area within"):
                open_rois(file, image, "YXC")
            continue
        np.testing.assert_array_equal(open_rois(file, image, "YXC").read(), plane > 0, roi.name)


@pytest.mark.jvm
def test_a_set_is_painted_in_its_order(filled: tuple[list[ImagejRoi], np.ndarray], tmp_path: Path) -> None:
    rois, planes = filled
    file = tmp_path / "a.zip"
    roiwrite(file, rois)
    image = _image(tmp_path / "a.tif", planes.shape[1:])
    labels = open_rois(file, image, "YXC")
    painted = np.zeros(planes.shape[1:], int)
    for number, plane in enumerate([plane for plane in planes if plane.any()], 1):
        painted[plane > 0] = number
    whole = labels.read()
    np.testing.assert_array_equal(whole, painted)
    np.testing.assert_array_equal(labels.region(Y=slice(20, 50), X=slice(7, 90)), painted[20:50, 7:90])
    (overlapping,) = [text for kind, text in labels.reader.findings() if kind == "overlap"]  # type: ignore[attr-defined]
    assert overlapping.endswith("get the shared pixels.")


def roiwrite(file: Path, rois: list[ImagejRoi]) -> None:
    """Write an ROI set whose entries have names of their own, whatever the names of the outlines."""
    with zipfile.ZipFile(file, "w") as archive:
        for number, roi in enumerate(rois):
            archive.writestr(f"{number:04}.roi", roi.tobytes())


def _image(file: Path, shape: tuple[int, ...], axes: str = "") -> Any:
    picture = np.random.default_rng(len(file.name)).integers(0, 4000, shape).astype(np.uint16)
    write_image(file, picture, axes or "ZYX"[-len(shape) :])
    return open_image(file)


def box(x: int, y: int, width: int, height: int = 0, **fields: Any) -> ImagejRoi:
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, left=x, top=y, right=x + width, bottom=y + (height or width))
    for name, value in fields.items():
        setattr(roi, name, value)
    return roi


@pytest.fixture
def place(folders: Any) -> Callable[..., Any]:
    """Write images, and the outlines of each as the function that is given does."""

    def make(save: Callable[[Path, list[ImagejRoi]], None], shape: tuple[int, ...] = (60, 60)) -> None:
        for number in range(2):
            _image(folders.source / f"cells{number}.tif", shape)
            save(folders.target / f"cells{number}", [box(3, 4, 10), box(30 + number, 20, 12), box(5, 40, 9, 15)])

    return make


def _zip(suffix: str) -> Callable[[Path, list[ImagejRoi]], None]:
    return lambda file, rois: roiwrite(file.with_name(file.name + suffix), rois)


@pytest.mark.parametrize("suffix", [".zip", "_rois.zip", "-rois.zip"])
def test_a_target_folder_may_hold_roi_sets(suffix: str, place: Callable[..., Any], folders: Any) -> None:
    place(_zip(suffix))
    report = check_data(folders.request(), "YXC", SMALL, form="labels", full=True)
    assert report.problems == ()
    assert "6 objects, none at the border" in report.summary
    dataset = open_pairs(folders.request(), "YXC", form="labels")
    assert [pair.name for pair in dataset.pairs] == ["cells0.tif", "cells1.tif"]
    target = dataset.pairs[1].target
    assert target is not None
    labels = target.read()
    assert (labels[4:14, 3:13] == 1).all()
    assert (labels[20:32, 31:43] == 2).all()
    assert np.count_nonzero(labels) == 100 + 144 + 135


def test_label_images_come_before_roi_sets_of_the_same_name(place: Callable[..., Any], folders: Any) -> None:
    place(_zip("_rois.zip"))
    drawn = np.zeros((60, 60), np.uint8)
    drawn[:9, :9], drawn[20:29, 20:29] = 7, 9
    write_image(folders.target / "cells0.tif", drawn, "YX")
    first, second = open_pairs(folders.request(), "YXC", form="labels").pairs
    np.testing.assert_array_equal(first.target.read(), drawn)  # type: ignore[union-attr]
    assert isinstance(second.target.reader, RoiReader)  # type: ignore[union-attr]


def test_single_files_and_own_overlays(folders: Any) -> None:
    rois = [box(3, 4, 10), box(30, 20, 12)]
    picture = np.random.default_rng(0).integers(0, 4000, (60, 60)).astype(np.uint16)
    overlays = [roi.tobytes() for roi in rois]
    for number in range(2):
        file = folders.source / f"cells{number}.tif"
        tifffile.imwrite(file, picture + number, imagej=True, metadata={"axes": "YX", "Overlays": overlays})
    roiwrite(folders.target / "RoiSet.zip", rois)
    for request in (
        folders.request(target=str(folders.source)),
        folders.request(source=str(folders.source / "cells0.tif"), target=str(folders.source / "cells0.tif")),
        folders.request(source=str(folders.source / "cells0.tif"), target=str(folders.target / "RoiSet.zip")),
    ):
        target = open_pairs(request, "YXC", form="labels").pairs[0].target
        assert target is not None
        assert np.bincount(target.read().ravel()).tolist() == [3600 - 244, 100, 144]
    roiwrite(folders.source / "cells1_rois.zip", rois[:1])
    beside = open_pairs(folders.request(target=str(folders.source)), "YXC", form="labels").pairs
    assert [pair.target.read().max() for pair in beside] == [2, 1]  # type: ignore[union-attr]


def test_images_stay_refused_as_their_own_targets(folders: Any) -> None:
    folders.fill()
    report = check_data(folders.request(target=str(folders.source)), "YXC", SMALL)
    assert "Source and target are the same" in report.problems[0]


def test_positions_are_those_of_imagej(tmp_path: Path) -> None:
    """Plain stacks count planes; hyperstacks count channels, then slices, then frames, or name each."""
    image = _image(tmp_path / "a.tif", (2, 3, 2, 40, 40), "TZCYX")
    rois = [
        box(1, 1, 3, position=1), box(11, 1, 3, position=5), box(21, 1, 3, position=12), box(31, 1, 3, t_position=2),
        box(1, 11, 3, c_position=2, z_position=3, t_position=1), box(11, 11, 3), box(21, 11, 3, position=13),
    ]  # fmt: skip
    roiwrite(tmp_path / "a.zip", rois)
    labels = open_rois(tmp_path / "a.zip", image, "YXC")
    assert (labels.axes, labels.shape) == ("TZYX", (2, 3, 40, 40))
    pixels = labels.read()
    seen = {number: sorted({tuple(i) for i in np.argwhere(pixels == number)[:, :2].tolist()}) for number in range(1, 7)}
    everywhere = [(t, z) for t in range(2) for z in range(3)]
    assert seen == {1: [(0, 0)], 2: [(0, 2)], 3: [(1, 2)], 4: everywhere[3:], 5: [(0, 2)], 6: everywhere}
    np.testing.assert_array_equal(labels.at(T=1).region(Z=slice(1, 3)), pixels[1, 1:3])
    told = dict(labels.reader.findings())  # type: ignore[attr-defined]
    assert "1 of 7 outlines of a.zip lie outside" in told["outside"]
    assert "2 of 6 outlines of a.zip tell no slice" in told["everywhere"]


def _numbers(tmp_path: Path, rois: list[ImagejRoi], axes: str = "ZYXC") -> tuple[list[int], str]:
    roiwrite(tmp_path / "a.zip", rois)
    reader = open_rois(tmp_path / "a.zip", _image(tmp_path / "a.tif", (6, 60, 60)), axes).reader
    assert isinstance(reader, RoiReader)
    return reader.numbers, dict(reader.findings()).get("joined", "")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([{"name": n} for n in ("a", "b", "a", "b")], [1, 2, 1, 2]),
        ([{"name": n} for n in ("a", "b", "a-1", "b-1")], [1, 2, 1, 2]),
        ([{"name": n} for n in ("cell-1", "cell-2", "cell-1-1", "cell-2-1")], [1, 2, 1, 2]),
        ([{"name": n} for n in ("o-7-0.9-z001", "o-8-0.8-z001", "o-7-0.9-z002", "o-8-0.8-z002")], [1, 2, 1, 2]),
        ([{"group": g, "name": f"0001-000{n}"} for n, g in enumerate((4, 9, 4, 9))], [1, 2, 1, 2]),
    ],
    ids=["equal names", "made different", "numbered names", "our own names", "groups"],
)
def test_slices_of_one_object_share_name_or_group(
    fields: list[dict[str, Any]], expected: list[int], tmp_path: Path
) -> None:
    rois = [box(5 + 30 * (i % 2), 5, 9, position=1 + i // 2, **given) for i, given in enumerate(fields)]
    assert _numbers(tmp_path, rois) == (expected, "")
    assert _numbers(tmp_path, rois, "YXC") == ([1, 2, 3, 4], "")


def test_outlines_without_names_are_joined_by_overlap_which_is_told(tmp_path: Path) -> None:
    """A group with two outlines in one slice is a class and joins nothing."""
    rois = [box(5 + 30 * i + z, 5, 9, position=z, name=f"000{z}-00{i}1", group=1) for z in (1, 2, 4) for i in (0, 1)]
    numbers, told = _numbers(tmp_path, rois)
    assert numbers == [1, 2, 1, 2, 3, 4]
    assert "give those of one object the same group" in told


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ([{"group": 2, "name": "x"}, {"group": 5, "name": "x"}, {"group": 2, "name": "y"}], [2, 5, 2]),
        ([{"name": "nucleus 1"}, {"name": "nucleus 2"}, {"name": "axon-00012-0.93"}], [2, 2, 1]),
        ([{"name": "0001-0002"}, {"name": "0001-0003"}, {"name": ""}], [1, 1, 1]),
    ],
    ids=["groups", "names", "neither"],
)
def test_groups_or_names_are_classes(fields: list[dict[str, Any]], values: list[int], folders: Any) -> None:
    for number in range(2):
        _image(folders.source / f"a{number}.tif", (60, 60))
        rois = [box(2 + 20 * i + number, 5, 9, **given) for i, given in enumerate(fields)]
        roiwrite(folders.target / f"a{number}.zip", rois)
    dataset = open_pairs(folders.request(), "YXC", form="classes")
    assert dataset.classes == (0, *sorted(set(values)))
    target = dataset.pairs[0].target
    assert target is not None
    assert [dataset.classes[target.read()[6, 4 + 20 * i]] for i in range(3)] == values
    assert any(text.startswith("The classes of the outlines") for text in dataset.warnings)
    foreground = open_pairs(folders.request(), "YXC", form="foreground")
    np.testing.assert_array_equal(foreground.pairs[0].target.read() > 0, target.read() > 0)  # type: ignore[union-attr]
    assert not any("of which all but 0" in text for text in foreground.warnings)


def _text(file: Path, rois: list[ImagejRoi]) -> None:
    file.with_suffix(".zip").write_text("no outlines")


def _points(file: Path, rois: list[ImagejRoi]) -> None:
    points = ImagejRoi.frompoints(np.array([[3, 4], [7, 9]]))
    points.roitype = ROI_TYPE.POINT
    text = box(4, 4, 9)
    text.subtype = ROI_SUBTYPE.TEXT
    roiwrite(file.with_suffix(".zip"), [points])


def _damaged(file: Path, rois: list[ImagejRoi]) -> None:
    with zipfile.ZipFile(file.with_suffix(".zip"), "w") as archive:
        archive.writestr("1.roi", b"Iout" + bytes(9))


def _outside(file: Path, rois: list[ImagejRoi]) -> None:
    roiwrite(file.with_suffix(".zip"), [box(200, 3, 9)])


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (_text, "cells0.zip in .* is damaged or no ZIP file: save the ROI set again"),
        (_points, "cells0.zip in .* holds no outline that encloses an area"),
        (_damaged, "The outline 1 of cells0.zip in .* is damaged"),
        (_outside, "holds no outline that encloses an area within cells0.tif"),
    ],
)
def test_what_is_wrong_with_outlines_is_said(save: Any, told: str, place: Callable[..., Any], folders: Any) -> None:
    place(save)
    with pytest.raises(DataError, match=told):
        open_pairs(folders.request(), "YXC", form="labels")


def test_images_without_overlay_are_told_how_to_get_one(folders: Any) -> None:
    folders.fill(2)
    problems = check_data(folders.request(target=str(folders.source)), "YXC", SMALL, form="labels").problems
    assert len(problems) == 2
    assert "cell0.tif in" in problems[0]
    assert "has no overlay with outlines of objects: draw them in Fiji" in problems[0]


def test_lines_and_points_enclose_nothing() -> None:
    line = ImagejRoi(roitype=ROI_TYPE.LINE)
    assert rasterize(line) is None
    assert rasterize(box(1, 1, 4, subtype=ROI_SUBTYPE.TEXT)) is None
