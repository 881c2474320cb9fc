"""Row R13, the rows that concern images: one clear sentence naming the file and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from PIL import Image

from dl4fiji.data.pairs import DataReport, check_data
from dl4fiji.data.writer import write_image
from dl4fiji.options import TrainingOptions

PLANE = TrainingOptions(patch_size=(32, 32))
STACK = TrainingOptions(patch_size=(8, 32, 32))


def cut(f) -> None:
    path = f.source / "cell0.tif"
    path.write_bytes(path.read_bytes()[:-100])


def with_value(f, value) -> None:
    image = np.ones((64, 64), np.float32)
    image[2] = 3
    image[5, 5] = value
    write_image(f.source / "cell0.tif", image, "YX")


def color(f) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(f.source / "rgb.png")
    Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(f.target / "rgb.png")


def replace_source(shape, axes) -> Callable:
    return lambda f: write_image(f.source / "cell0.tif", np.arange(np.prod(shape), dtype="u2").reshape(shape), axes)


def replace_both(shape, axes) -> Callable:
    def change(f) -> None:
        for seed, folder in enumerate((f.source, f.target)):
            image = np.random.default_rng(seed).integers(0, 99, shape).astype("u2")
            write_image(folder / "cell0.tif", image, axes)

    return change


def only(count) -> Callable:
    def change(f) -> None:
        for folder in (f.source, f.target):
            for file in sorted(folder.iterdir())[count:]:
                file.unlink()

    return change


def mixed(f) -> None:
    write_image(f.source / "cell0.tif", np.ones((6, 64, 64), "u2"), "TYX")
    write_image(f.target / "cell0.tif", np.ones((6, 64, 64), "u2"), "CYX")


# What is done to four good pairs of 64×64 (planes) or 12×64×64 (stacks); the options; words of the sentence.
CASES: dict[str, tuple[Callable, TrainingOptions, list[str]]] = {
    "empty folder": (
        lambda f: [x.unlink() for x in f.source.iterdir()], PLANE, ["noisy is empty", "save images there"],
    ),
    "missing folder": (lambda f: shutil.rmtree(f.target), PLANE, ["There is no folder", "clean", "check its name"]),
    "file without partner": (
        lambda f: (f.target / "cell2.tif").unlink(), PLANE, ["cell2.tif in", "has no partner", "same name there"],
    ),
    "no partners at all": (
        lambda f: [x.rename(x.with_name("x" + x.name)) for x in f.target.iterdir()], PLANE,
        ["cell0.tif, cell1.tif, cell2.tif and 1 more", "xcell0.tif", "same name"],
    ),
    "partner of another size": (
        replace_source((64, 60), "YX"), PLANE, ["cell0.tif in noisy has 64×60", "cell0.tif in clean has 64×64", "crop"],
    ),
    "another number of slices": (
        replace_source((24, 64, 64), "ZYX"), STACK, ["cell0.tif in noisy has 24 slices", "has 12", "substack"],
    ),
    "another number of frames": (
        replace_source((3, 64, 64), "TYX"), PLANE, ["has 3 frames", "has 1", "substack"],
    ),
    "RGB against grey": (color, PLANE, ["rgb.png in noisy is an RGB image", "Image ▸ Type"]),
    "truncated TIFF": (cut, PLANE, ["cell0.tif", "damaged or cut off", "copy it again"]),
    "text named .tif": (
        lambda f: (f.source / "cell0.tif").write_text("Liebe Kollegin"), PLANE,
        ["cell0.tif", "not an image", "save it"],
    ),
    "zero bytes": (lambda f: (f.source / "cell0.tif").write_bytes(b""), PLANE, ["cell0.tif", "0 bytes", "again"]),
    "NaN": (lambda f: with_value(f, np.nan), PLANE, ["cell0.tif in noisy", "NaN", "Remove NaNs"]),
    "infinite": (lambda f: with_value(f, np.inf), PLANE, ["cell0.tif in noisy", "infinite", "replace them"]),
    "constant image": (
        lambda f: write_image(f.target / "cell1.tif", np.full((64, 64), 7, "u1"), "YX"), PLANE,
        ["cell1.tif in clean has the value 7 everywhere", "remove it"],
    ),
    "smaller than the patch": (
        replace_both((20, 64), "YX"), PLANE,
        ["cell0.tif has 20×64 pixels, less than a patch of 32×32", "patch_size to at most 20×32"],
    ),
    "one pixel": (replace_both((1, 1), "YX"), PLANE, ["cell0.tif has 1×1 pixels", "larger images"]),
    "single slice for a 3D network": (
        replace_both((64, 64), "YX"), STACK, ["cell0.tif is a single slice", "give stacks, or train the 2D network"],
    ),
    "frames for a 3D network": (
        replace_both((12, 64, 64), "TYX"), STACK, ["12 frames but a single slice", "Image ▸ Properties", "ZYX"],
    ),
    "slices saved as channels": (
        replace_both((12, 64, 64), "CYX"), STACK, ["12 channels but a single slice", "Image ▸ Properties"],
    ),
    "T and C mixed": (mixed, PLANE, ["6 frames", "6 channels", "mixed up", "Re-order Hyperstack"]),
    "channels differ": (replace_both((2, 64, 64), "CYX"), PLANE, ["cell0.tif has 2 channel(s)", "need the same"]),
    "one small image only": (
        only(1), TrainingOptions(patch_size=(48, 48)), ["cell0.tif is the only image", "add images"],
    ),
}  # fmt: skip


def examine(folders, options) -> DataReport:
    return check_data(folders.request(), "ZYXC" if options is STACK else "YXC", options, full=True)


@pytest.mark.parametrize("name", CASES)
def test_r13_one_sentence_with_file_and_remedy(folders, name):
    change, options, words = CASES[name]
    folders.fill(4, *(((12, 64, 64), "ZYX") if options is STACK else ((64, 64), "YX")))
    assert examine(folders, PLANE if options not in (PLANE, STACK) else options).problems == ()
    change(folders)
    problems = examine(folders, options).problems
    assert len(problems) >= 1
    for text in words:
        assert text in problems[0], problems
    for problem in problems:
        assert problem.endswith(".")
        assert "Traceback" not in problem
        assert "\n" not in problem


def test_r13_same_folder_twice(folders):
    folders.fill(2)
    report = check_data(folders.request(target=str(folders.source)), "YXC", PLANE)
    assert report.problems[0].startswith("Source and target are the same")
    mixed_kinds = folders.request(target=str(folders.target / "cell0.tif"))
    assert "is a file but" in check_data(mixed_kinds, "YXC", PLANE).problems[0]


def test_r13_identical_contents_are_a_warning(folders):
    folders.fill(2)
    shutil.copy(folders.source / "cell1.tif", folders.target / "cell1.tif")
    report = check_data(folders.request(), "YXC", PLANE, full=True)
    assert report.problems == ()
    assert report.warnings[0].startswith("Source and target of cell1.tif are identical")


def test_r13_wrong_axes(folders):
    folders.fill(2)
    assert "not understood" in check_data(folders.request(axes="abc"), "YXC", PLANE).problems[0]
    problems = check_data(folders.request(axes="ZYX"), "YXC", PLANE).problems
    assert "cell0.tif" in problems[0]
    assert "2 dimensions (64×64), but the axes ZYX name 3" in problems[0]


def test_r13_many_findings_of_a_kind_are_joined(folders):
    folders.fill(8)
    for file in folders.source.iterdir():
        file.write_bytes(b"")
    problems = check_data(folders.request(), "YXC", PLANE).problems
    assert len(problems) == 1
    assert problems[0].endswith("The same holds for cell1.tif, cell2.tif, cell3.tif and 4 more.")


@pytest.mark.parametrize(
    "name", ["Ünï çødé 細胞.tif", "two  spaces.tif", 'it\'s "quoted".tif', "a]b[c.tif", "100%.tif", "#1&2;.tif"]
)
def test_r13_names_of_any_kind_work(folders, name):
    folders.fill(1)
    for folder in (folders.source, folders.target):
        shutil.copy(folder / "cell0.tif", folder / name)
    report = check_data(folders.request(), "YXC", PLANE, full=True)
    assert report.problems == ()
    assert report.images == 2


@pytest.mark.parametrize("values", ["one-bit", "0/255", "float labels"])
def test_r13_masks_are_read_as_they_are(folders, values):
    mask = np.random.default_rng(0).random((64, 64)) > 0.5
    for number in range(2):
        write_image(folders.source / f"{number}.tif", mask * np.uint8(9) + np.uint8(number), "YX")
        if values == "one-bit":
            tifffile.imwrite(folders.target / f"{number}.tif", mask, photometric="minisblack")
        else:
            write_image(
                folders.target / f"{number}.tif", mask * (np.uint8(255) if values == "0/255" else np.float32(3)), "YX"
            )
    assert check_data(folders.request(), "YXC", PLANE, full=True).problems == ()


def test_r13_larger_than_memory_is_checked_by_headers(folders):
    for folder in (folders.source, folders.target):
        for number in range(2):
            shape = (40, 16384, 16384)
            path = folder / f"{number}.tif"
            tifffile.memmap(path, shape=shape, dtype=np.uint16, bigtiff=True, metadata={"axes": "ZYX"}).flush()
    report = check_data(folders.request(), "ZYXC", STACK)
    assert report.problems == ()
    assert report.nbytes == 4 * 40 * 16384**2 * 2
