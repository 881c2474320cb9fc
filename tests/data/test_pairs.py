from __future__ import annotations

import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from dl4fiji.data.image import Metadata
from dl4fiji.data.pairs import check_data, open_pairs
from dl4fiji.data.writer import write_image
from dl4fiji.errors import DataError
from dl4fiji.jobs.job import DataRequest
from dl4fiji.options import TrainingOptions

SMALL = TrainingOptions(patch_size=(16, 16))
VOLUME = TrainingOptions(patch_size=(4, 16, 16))


def names(samples) -> list[str]:
    return [sample.name for sample in samples]


def test_real_pairs_are_summed_up(shared_data):
    folder = shared_data / "fmd-denoising"
    data = DataRequest(source=str(folder / "source"), target=str(folder / "target"))
    report = check_data(data, "YXC", TrainingOptions(), full=True)
    assert report.problems == ()
    assert report.summary == "24 pairs 512×512, 22 for training, 2 for validation"
    assert (report.images, report.train, report.validation, report.patches_per_epoch) == (24, 22, 2, 1100)
    assert (report.channels_in, report.channels_out, report.largest) == (1, 1, (512, 512))
    assert report.nbytes == 2 * 24 * 512 * 512


def test_names_may_differ_in_case_and_ending(tmp_path, make_picture):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    image = make_picture((32, 32), dtype="uint8")
    for name in ("Zelle 1.TIF", "ä [2]'s.tif", "c.ome.tif", "d.tif"):
        tifffile.imwrite(tmp_path / "a" / name, image)
    for name in ("zelle 1.png", "a\N{COMBINING DIAERESIS} [2]'s.png", "C.png"):
        (tmp_path / "b" / name).write_bytes(imagecodecs.png_encode(image // 2))
    tifffile.imwrite(tmp_path / "b" / "d.tif", image // 2)
    (tmp_path / "b" / "D.png").write_bytes(imagecodecs.png_encode(image // 2))
    data = DataRequest(source=str(tmp_path / "a"), target=str(tmp_path / "b"))
    report = check_data(data, "YXC", SMALL)
    assert report.problems == (
        f"D.png in {tmp_path / 'b'} has no partner in {tmp_path / 'a'}: "
        "add an image of the same name there, or remove it.",
    )
    (tmp_path / "b" / "D.png").unlink()
    dataset = open_pairs(data, "YXC")
    assert [(pair.source.path.name, pair.target.path.suffix) for pair in dataset.pairs if pair.target] == [
        ("c.ome.tif", ".png"), ("d.tif", ".tif"), ("Zelle 1.TIF", ".png"), ("ä [2]'s.tif", ".png"),
    ]  # fmt: skip


def test_two_files_pair_whatever_their_names(tmp_path, make_picture):
    for name in ("raw.tif", "good.tif"):
        write_image(tmp_path / name, make_picture((64, 64), len(name)), "YX")
    data = DataRequest(source=str(tmp_path / "raw.tif"), target=str(tmp_path / "good.tif"))
    assert check_data(data, "YXC", SMALL).summary == "1 pair 64×64, 48 rows for training, 16 for validation"


def test_split_is_by_image_and_by_seed(folders):
    folders.fill(20)
    dataset = open_pairs(folders.request(), "YXC")
    first = dataset.split(10, 42)
    assert len(first.train) == 18
    assert len(first.validation) == 2
    assert not set(names(first.train)) & set(names(first.validation))
    assert names(dataset.split(10, 42).validation) == names(first.validation)
    assert len({tuple(names(dataset.split(10, seed).validation)) for seed in range(9)}) > 3
    assert len(dataset.split(50, 42).validation) == 10
    assert len(dataset.split(1, 42).validation) == 1
    assert len(dataset.split(90, 42).train) == 2


def test_frames_are_images_and_slices_stay_together(folders, make_picture):
    for folder in (folders.source, folders.target):
        write_image(folder / "a.tif", make_picture((5, 3, 32, 32), len(folder.name)), "TZYX")
    dataset = open_pairs(folders.request(), "YXC").split(20, 0)
    assert len(dataset.validation) == 3
    assert len({name.split(",")[1] for name in names(dataset.validation)}) == 1
    assert len(dataset.train) == 12
    assert "a.tif, frame 1, slice 2" in names(dataset.train + dataset.validation)
    assert "Frames of one recording" in dataset.warnings[-1]
    volumes = open_pairs(folders.request(), "ZYXC").split(20, 0)
    assert (len(volumes.train), len(volumes.validation)) == (4, 1)
    summary = check_data(folders.request(), "YXC", SMALL).summary
    assert summary == "1 pair 32×32 with 5 frames and 3 slices, 4 for training, 1 for validation"


def test_slices_of_a_file_are_never_in_both(folders):
    folders.fill(4, (6, 32, 32), "ZYX")
    dataset = open_pairs(folders.request(), "YXC").split(25, 1)
    assert (len(dataset.train), len(dataset.validation)) == (18, 6)
    files = [{sample.source.path for sample in part} for part in (dataset.train, dataset.validation)]
    assert not files[0] & files[1]


@pytest.mark.parametrize(("axes", "shape", "patch"), [
    ("YX", (40, 90), (16, 16)), ("ZYX", (12, 40, 33), (4, 16, 16)), ("ZYX", (30, 17, 17), (8, 16, 16)),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(4))
def test_a_single_image_is_cut_into_disjoint_regions(folders, axes, shape, patch, seed):
    folders.fill(1, shape, axes)
    dataset = open_pairs(folders.request(), axes + "C").split(10, seed, patch)
    (train,), (aside,) = dataset.train, dataset.validation
    shares = np.zeros(shape, int)
    for sample, mark in ((train, 1), (aside, 2)):
        extents = [sample.extent(axis) for axis in axes]
        assert all(part.stop - part.start >= size for part, size in zip(extents, patch, strict=True))
        shares[tuple(extents)] += mark
    assert set(np.unique(shares)) == {1, 2}


def test_slices_of_a_single_stack_are_cut_alike(folders):
    folders.fill(1, (6, 64, 64), "ZYX")
    dataset = open_pairs(folders.request(), "YXC").split(10, 0, (16, 16))
    assert len(dataset.train) == len(dataset.validation) == 6
    assert len({str(sample.region) for sample in dataset.train}) == 1


def test_own_validation_images_are_used(folders, tmp_path, make_picture):
    folders.fill(3)
    for name in ("val-noisy", "val-clean"):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "v.tif", make_picture((64, 64), len(name)), "YX")
    request = folders.request(
        validation_source=str(tmp_path / "val-noisy"), validation_target=str(tmp_path / "val-clean")
    )
    dataset = open_pairs(request, "YXC").split(50, 0)
    assert names(dataset.validation) == ["v.tif"]
    assert len(dataset.train) == 3
    assert check_data(request, "YXC", SMALL).summary.endswith("3 for training, 1 of their own for validation")
    same = folders.request(validation_source=str(folders.source), validation_target=str(folders.target))
    assert "among those for training" in check_data(same, "YXC", SMALL).problems[0]
    half = folders.request(validation_source=str(folders.source))
    assert "give both or none" in check_data(half, "YXC", SMALL).problems[0]


def test_networks_without_target_take_single_images(folders):
    folders.fill(4)
    data = DataRequest(source=str(folders.source))
    assert check_data(data, "YXC", SMALL, paired=False).summary == "4 images 64×64, 3 for training, 1 for validation"
    assert open_pairs(data, "YXC", paired=False).pairs[0].target is None
    assert check_data(data, "YXC", SMALL).problems == ("No target images are given: choose a folder or an image.",)


def test_color_images_that_are_grey_are_read_as_grey(folders, make_picture):
    for number in range(3):
        grey = make_picture((32, 32), number, "uint8")
        Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)])).save(folders.source / f"{number}.png")
        Image.fromarray(grey // 2).save(folders.target / f"{number}.png")
    for full in (False, True):
        report = check_data(folders.request(), "YXC", SMALL, full=full)
        assert report.problems == ()
        assert report.channels_in == 1
        assert report.warnings == (
            "3 color image(s) such as 0.png are grey in fact (red, green and blue are equal) and are read as grey.",
        )


def test_sizes_that_vary_are_given_as_a_range(folders, make_picture):
    for number, side in enumerate((32, 48, 40)):
        for folder in (folders.source, folders.target):
            write_image(folder / f"{number}.tif", make_picture((side, side), side + len(folder.name)), "YX")
    assert check_data(folders.request(), "YXC", SMALL).summary.startswith("3 pairs 32×32 to 48×48, 2 for training")


def test_channels_of_source_and_target_may_differ(folders, make_picture):
    for number in range(2):
        write_image(folders.source / f"{number}.tif", make_picture((2, 32, 32), number), "CYX")
        write_image(folders.target / f"{number}.tif", make_picture((32, 32), number), "YX")
    report = check_data(folders.request(), "YXC", SMALL)
    assert (report.problems, report.channels_in, report.channels_out) == ((), 2, 1)


def test_different_pixel_sizes_are_pointed_out(folders, make_picture):
    for number, (size, unit) in enumerate([(0.1, "µm"), (0.1, "micron"), (0.2, "um")]):
        for folder in (folders.source, folders.target):
            metadata = Metadata(pixel_size={"X": size, "Y": size}, unit=unit)
            write_image(folder / f"{number}.tif", make_picture((32, 32), number + len(folder.name)), "YX", metadata)
    assert any("different pixel sizes" in text for text in check_data(folders.request(), "YXC", SMALL).warnings)
    for folder in (folders.source, folders.target):
        (folder / "2.tif").unlink()
    assert check_data(folders.request(), "YXC", SMALL).warnings == ()


def test_a_thousand_headers_take_seconds(folders, make_picture):
    image = make_picture((32, 32))
    for number in range(500):
        write_image(folders.source / f"{number}.tif", image, "YX")
        (folders.target / f"{number}.png").write_bytes(imagecodecs.png_encode(image))
    start = time.process_time()
    report = check_data(folders.request(), "YXC", SMALL)
    assert time.process_time() - start < 5
    assert report.summary == "500 pairs 32×32, 450 for training, 50 for validation"
    late = check_data(folders.request(), "YXC", SMALL, time_limit=0.05)
    assert late.problems == ()
    assert any("of 1000 files were checked so far" in text for text in late.warnings)


def test_all_findings_are_told(folders, make_picture):
    folders.fill(4)
    write_image(folders.source / "alone.tif", make_picture((64, 64)), "YX")
    write_image(folders.target / "cell0.tif", make_picture((64, 32)), "YX")
    (folders.target / "cell1.tif").write_bytes(b"")
    write_image(folders.source / "cell2.tif", make_picture((8, 8)), "YX")
    write_image(folders.target / "cell2.tif", make_picture((8, 8)), "YX")
    with pytest.raises(DataError) as caught:
        open_pairs(folders.request(), "YXC", patch_size=(16, 16))
    found = " | ".join(caught.value.problems)
    assert caught.value.message == caught.value.problems[0]
    for words in ("alone.tif in", "64×32", "0 bytes", "8×8 pixels, less than a patch"):
        assert words in found
    assert list(check_data(folders.request(), "YXC", SMALL).problems) == caught.value.problems
