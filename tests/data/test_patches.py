from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
import tifffile

from dl4fiji.data.image import open_image
from dl4fiji.data.normalization import FixedNormalization, PercentileNormalization, fit
from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.patches import Augmentation, Background, PatchSource, check_patch_size
from dl4fiji.data.writer import write_image
from dl4fiji.errors import Canceled, DataError, OptionError
from dl4fiji.jobs.job import DataRequest
from dl4fiji.options import TrainingOptions, option
from dl4fiji.progress import SilentProgress

RAW = FixedNormalization(mean=(0.0,), std=(1.0,))
"""Leaves pixels as they are, so that tests can tell where they come from."""


def options(**values) -> TrainingOptions:
    return TrainingOptions(**{"patch_size": (16, 16), "batch_size": 4, "patches_per_image": 8, **values})


def numbered(folders, count: int, shape: tuple[int, ...], axes: str) -> None:
    """Images in which every pixel has its own value, below 2**24 to be exact in float32."""
    size = int(np.prod(shape))
    for number in range(count):
        image = (np.arange(size) + number * size).reshape(shape).astype(np.float32)
        write_image(folders.source / f"{number}.tif", image, axes)
        write_image(folders.target / f"{number}.tif", image + 0.5, axes)


def source_of(folders, axes: str = "YXC", normalization=RAW, values=None, **more) -> PatchSource:
    return PatchSource(open_pairs(folders.request(), axes), normalization, values or options(), axes, **more)


@pytest.mark.parametrize(("shape", "axes", "network", "patch"), [
    ((64, 48), "YX", "YXC", (16, 16)), ((8, 40, 48), "ZYX", "ZYXC", (4, 16, 16)), ((3, 40, 48), "ZYX", "YXC", (16, 8)),
])  # fmt: skip
@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_patches_are_cut_from_the_images_with_their_targets(folders, shape, axes, network, patch, memory):
    numbered(folders, 3, shape, axes)
    source = source_of(folders, network, values=options(patch_size=patch), memory=memory)
    x, y = source.draw(0, 0)
    assert x.shape == y.shape == (4, *patch, 1)
    assert x.dtype == y.dtype == np.float32
    assert np.array_equal(y, x + 0.5)
    size = int(np.prod(shape))
    for item in x[..., 0]:
        number, place = divmod(int(item.flat[0]), size)
        image = open_image(folders.source / f"{number}.tif").read()
        start = np.unravel_index(place, shape)
        lengths = (1,) * (len(shape) - len(patch)) + patch
        assert np.array_equal(
            item.ravel(), image[tuple(slice(a, a + n) for a, n in zip(start, lengths, strict=True))].ravel()
        )


def test_the_same_step_gives_the_same_patches(folders):
    folders.fill(6)
    first, second = source_of(folders), source_of(folders, memory=0)
    second.draw(3, 1)
    for epoch, step in ((0, 0), (0, 1), (7, 3)):
        for a, b in zip(first.draw(epoch, step), second.draw(epoch, step), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(first.draw(0, 0)[0], first.draw(0, 1)[0])
    assert not np.array_equal(first.draw(0, 0)[0], first.draw(1, 0)[0])
    other = source_of(folders, values=options(seed=1))
    assert not np.array_equal(first.draw(0, 0)[0], other.draw(0, 0)[0])


@pytest.mark.parametrize("steps", [0, 3])
def test_each_image_is_used_equally_often(folders, steps):
    numbered(folders, 7, (32, 32), "YX")
    source = source_of(folders, values=options(steps_per_epoch=steps))
    assert source.patches_per_epoch == 6 * 8
    assert source.steps_per_epoch == (steps or 12)
    epochs = 1 if not steps else 4
    used = Counter(
        int(patch.flat[0]) // 1024
        for epoch in range(epochs)
        for step in range(source.steps_per_epoch)
        for patch in source.draw(epoch, step)[0]
    )
    assert len(used) == 6
    assert max(used.values()) == min(used.values()) == 8


def test_all_positions_are_reached(folders):
    numbered(folders, 2, (20, 19), "YX")
    source = source_of(folders, values=options(batch_size=64))
    starts = {divmod(int(p.flat[0]) % 380, 19) for step in range(20) for p in source.draw(0, step)[0]}
    assert starts == {(y, x) for y in range(5) for x in range(4)}


@pytest.mark.parametrize(("shape", "axes", "patch"), [
    ((64, 40), "YX", (16, 16)), ((3, 64, 40), "ZYX", (16, 16)), ((10, 40, 40), "ZYX", (4, 16, 16)),
])  # fmt: skip
@pytest.mark.parametrize("augmentation", [False, True])
def test_no_pixel_of_a_single_image_is_in_both(folders, shape, axes, patch, augmentation):
    numbered(folders, 1, shape, axes)
    flips = Augmentation(intensity_scale=0, intensity_offset=0, noise=0, turn=0, zoom=0, elastic=0)
    for seed in range(3):
        values = options(patch_size=patch, batch_size=32, seed=seed)
        network = "ZYXC" if len(patch) == 3 else "YXC"
        source = source_of(folders, network, values=values, augmentation=flips if augmentation else None)
        seen = {int(value) for step in range(30) for value in np.unique(source.draw(0, step)[0])}
        aside = {int(value) for value in np.unique(source.validation()[0])}
        assert not seen & aside
        assert len(seen) > 0.7 * 0.5 * np.prod(shape)


def test_deformed_patches_of_a_single_image_stay_in_their_region(folders):
    image = np.zeros((64, 64), np.float32)
    write_image(folders.source / "a.tif", image, "YX")
    write_image(folders.target / "a.tif", image, "YX")
    dataset = open_pairs(folders.request(), "YXC").split(30, 0, (16, 16))
    aside = dataset.validation[0]
    image[tuple(aside.extent(axis) for axis in "YX")] = 1
    for folder in (folders.source, folders.target):
        write_image(folder / "a.tif", image, "YX")
    strong = Augmentation(
        intensity_scale=0, intensity_offset=0, noise=0, turn=40, zoom=0.3, elastic=5, deformed_share=1
    )
    source = PatchSource(dataset, RAW, options(batch_size=32), "YXC", augmentation=strong)
    assert max(source.draw(0, step)[0].max() for step in range(10)) == 0
    assert source.validation()[0].min() == 1


def test_no_file_is_in_both(folders):
    numbered(folders, 6, (3, 32, 32), "ZYX")
    source = source_of(folders, values=options(validation_percent=34))
    seen = {int(p.flat[0]) // 3072 for step in range(24) for p in source.draw(0, step)[0]}
    aside = {int(p.flat[0]) // 3072 for p in source.validation()[0]}
    assert (len(seen), len(aside)) == (4, 2)
    assert not seen & aside


def test_normalization_is_that_of_the_whole_image(folders):
    folders.fill(4, (64, 64))
    source = source_of(folders, normalization=PercentileNormalization())
    x, _ = source.validation()
    name = source.dataset.validation[0].source.path
    image = open_image(name)
    scale = fit(PercentileNormalization(), image)
    expected = scale.apply(image.read()[..., None])
    assert np.array_equal(x[0], expected[:16, :16])


def test_planes_are_normalized_each_by_its_own(folders):
    stack = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32) * np.array([1, 10, 100])[:, None, None]
    for folder in (folders.source, folders.target):
        for number in range(2):
            write_image(folder / f"{number}.tif", stack.astype(np.float32), "ZYX")
    x, _ = source_of(folders, normalization=PercentileNormalization()).validation()
    assert x.max() < 1.3


def test_validation_is_a_fixed_grid_without_background(folders):
    numbered(folders, 4, (64, 80), "YX")
    source = source_of(folders, values=options(patches_per_image=100))
    x, y = source.validation()
    assert len(x) == 4 * 5
    assert len(np.unique(x)) == x.size  # no pixel twice
    assert np.array_equal(source.validation()[0], x)
    assert np.array_equal(source_of(folders, values=options(patches_per_image=100)).validation()[1], y)
    assert len(source_of(folders, values=options(patches_per_image=5)).validation()[0]) == 4  # a batch, 15 // 4 < 4


def test_validation_covers_what_is_left_over_beyond_multiples_of_the_patch(folders):
    numbered(folders, 4, (64, 88), "YX")  # five patches of 16 and eight columns
    x, _ = source_of(folders, values=options(patches_per_image=100)).validation()
    assert len(x) == 4 * 6
    assert len(np.unique(x)) == 64 * 88  # each pixel of the image is seen


def test_background_is_left_out_in_training_and_validation(folders):
    for number in range(4):
        image = np.full((256, 256), 100, np.uint16) + np.random.default_rng(number).integers(
            0, 9, (256, 256), np.uint16
        )
        image[100:112, 100:112] = 3000
        for folder in (folders.source, folders.target):
            write_image(folder / f"{number}.tif", image, "YX")
    values = options(patch_size=(32, 32), batch_size=64, patches_per_image=64)

    def bright(source: PatchSource) -> tuple[float, float]:
        batches = (source.draw(0, 0)[1], source.validation()[1])
        train, aside = (float(np.mean(batch.max(axis=(1, 2, 3)) > 1000)) for batch in batches)
        return train, aside

    assert bright(source_of(folders, values=values))[0] < 0.1
    assert bright(source_of(folders, values=values, background=Background())) == (1, 1)

    class WithBackground(TrainingOptions):
        background_rejection: bool = option(True, "Leave out background.")
        background_threshold: float = option(0.4, "Threshold.")

    own = WithBackground(**values.model_dump())
    assert bright(source_of(folders, values=own)) == (1, 1)
    off = WithBackground(**values.model_dump(), background_rejection=False)
    assert bright(source_of(folders, values=off))[0] < 0.1


def test_augmentation_is_taken_from_the_options(folders):
    folders.fill(4)
    plain = source_of(folders, normalization=PercentileNormalization())
    varied = source_of(folders, normalization=PercentileNormalization(), values=options(augmentation=True))
    lazy = source_of(folders, normalization=PercentileNormalization(), values=options(augmentation=True), memory=0)
    assert not np.array_equal(plain.draw(0, 0)[0], varied.draw(0, 0)[0])
    assert np.array_equal(varied.draw(0, 0)[0], lazy.draw(0, 0)[0])
    assert np.array_equal(plain.validation()[0], varied.validation()[0])


def test_labels_stay_as_they_are(folders):
    for number in range(3):
        rng = np.random.default_rng(number)
        write_image(folders.source / f"{number}.tif", rng.random((64, 64), np.float32), "YX")
        write_image(folders.target / f"{number}.tif", rng.choice([0, 300, 40_000], (64, 64)).astype("u2"), "YX")
    values = options(augmentation=True, batch_size=16)
    source = source_of(folders, normalization=PercentileNormalization(), values=values, labels=True)
    assert set(np.unique(source.draw(0, 0)[1])) == {0, 300, 40_000}


def test_channels(folders):
    for number in range(3):
        rng = np.random.default_rng(number)
        write_image(folders.source / f"{number}.tif", rng.random((2, 32, 32), np.float32), "CYX")
        write_image(folders.target / f"{number}.tif", rng.random((32, 32), np.float32), "YX")
    source = source_of(folders, normalization=PercentileNormalization())
    assert (source.channels_in, source.channels_out) == (2, 1)
    x, y = source.draw(0, 0)
    assert (x.shape, y.shape) == ((4, 16, 16, 2), (4, 16, 16, 1))


def test_networks_without_target_get_the_source_twice(folders):
    folders.fill(3)
    dataset = open_pairs(DataRequest(source=str(folders.source)), "YXC", paired=False)
    x, y = PatchSource(dataset, RAW, options(), "YXC").draw(0, 0)
    assert np.array_equal(x, y)


def test_images_without_content_are_left_out_and_named(folders):
    folders.fill(5)
    write_image(folders.target / "cell1.tif", np.full((64, 64), 3, np.uint16), "YX")
    values = options(validation_percent=20, seed=3)
    source = source_of(folders, normalization=PercentileNormalization(), values=values)
    assert source.warnings == ["cell1.tif has nearly the same value everywhere and is left out."]
    assert source.patches_per_epoch == 3 * 8
    for number in range(5):
        write_image(folders.target / f"cell{number}.tif", np.full((64, 64), 3, np.uint16), "YX")
    with pytest.raises(DataError, match="no image is left for training: give images with content"):
        source_of(folders, normalization=PercentileNormalization(), values=values)


def test_nan_names_the_file(folders):
    folders.fill(3, dtype="float32")
    image = np.ones((64, 64), np.float32)
    image[3, 3] = np.nan
    write_image(folders.source / "cell1.tif", image, "YX")
    with pytest.raises(DataError, match=r"cell1\.tif .*NaN"):
        source_of(folders, normalization=PercentileNormalization())


def test_small_images_are_named(folders):
    folders.fill(2, (64, 64))
    with pytest.raises(DataError, match=r"cell\d\.tif has 64 pixels along Y for patches of 80×80"):
        source_of(folders, values=options(patch_size=(80, 80)))


@pytest.mark.parametrize(
    ("size", "axes", "divisor", "words"),
    [
        ((100, 128), "YX", {"Y": 8, "X": 8}, "multiple of 8x8: take 96x128"),
        ((3, 3), "YX", {"Y": 8, "X": 8}, "take 8x8"),
        ((128,), "ZYX", {}, "must be 3 numbers, for Z, Y, X, such as 16x64x64"),
        ((16, 64, 64), "YX", {}, "must be 2 numbers"),
    ],
)
def test_patch_sizes_must_fit_the_network(size, axes, divisor, words):
    with pytest.raises(OptionError, match=words):
        check_patch_size(size, axes, divisor)
    assert check_patch_size((128,), "YX", {"Y": 8, "X": 8}) == (128, 128)


def test_reading_can_be_canceled(folders):
    folders.fill(3)

    class Stop(SilentProgress):
        def canceled(self) -> bool:
            return True

    with pytest.raises(Canceled):
        source_of(folders, progress=Stop())


@pytest.mark.parametrize(("shape", "axes", "patch", "batch"), [
    ((512, 512), "YX", (128, 128), 16), ((32, 256, 256), "ZYX", (16, 64, 64), 4),
])  # fmt: skip
def test_drawing_is_fast(folders, shape, axes, patch, batch):
    folders.fill(3, shape, axes)
    values = options(patch_size=patch, batch_size=batch)
    source = source_of(folders, axes + "C", PercentileNormalization(), values, background=Background())
    seconds = []
    for step in range(20):
        start = time.perf_counter()
        source.draw(0, step)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.015  # a training step takes ten times as long


def test_images_larger_than_memory_are_drawn_from(folders):
    for folder in (folders.source, folders.target):
        path = folder / "a.tif"
        image = tifffile.memmap(path, shape=(24, 16384, 16384), dtype=np.uint16, bigtiff=True, metadata={"axes": "ZYX"})
        image[12, 9000:9100, 9000:9100] = 7
        del image
    source = source_of(folders, "ZYXC", values=options(patch_size=(4, 32, 32), seed=1))
    assert source.draw(0, 0)[0].shape == (4, 4, 32, 32, 1)
    assert source.dataset.train[0].source.nbytes > 12e9


def test_real_pairs(shared_data):
    folder = shared_data / "fmd-denoising"
    data = DataRequest(source=str(folder / "source"), target=str(folder / "target"))
    source = PatchSource(
        open_pairs(data, "YXC"), PercentileNormalization(), options(patch_size=(128, 128), batch_size=16), "YXC",
        divisor={"Y": 8, "X": 8}, background=Background(),
    )  # fmt: skip
    x, y = source.draw(0, 0)
    assert x.shape == (16, 128, 128, 1)
    assert 0.02 < y.mean() < 0.6
    for a, b in zip(x, y, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.3


def test_targets_may_be_normalized_as_their_sources(folders):
    """So a network that errs nowhere gives the true intensities; by their own percentiles it would not."""

    class Chosen(TrainingOptions):
        target_normalization: str = "source"

    rng = np.random.default_rng(0)
    for number in range(3):
        clean = np.arange(48.0 * 64).reshape(48, 64) + 3000 * number
        write_image(folders.source / f"{number}.tif", (clean + rng.normal(0, 300, clean.shape)).astype("f4"), "YX")
        write_image(folders.target / f"{number}.tif", clean.astype("f4"), "YX")
    normalization = PercentileNormalization(low=2, high=98)
    for form, exact in (("source", True), ("own", False)):
        values = Chosen(**options().model_dump() | {"patch_size": (16, 16), "target_normalization": form})
        patches = source_of(folders, normalization=normalization, values=values)
        sources = {sample.name: sample.source for sample in patches.dataset.train}
        scales = [fit(normalization, source) for source in sources.values()]
        _, target = patches.draw(0, 0)
        steps = []
        for patch in target[..., 0]:
            # Along X the clean images rise by 1: the scale of the patch is that of one of the sources, or not.
            slope = float(np.diff(patch, axis=1).mean())
            steps.append(min(abs(slope * scale.scale[0] - 1) for scale in scales))
        assert (max(steps) < 1e-3) is exact
