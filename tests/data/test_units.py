from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji.data.dataset import Sample
from dl4fiji.data.image import open_image
from dl4fiji.data.units import same_units
from dl4fiji.data.writer import write_image


def _clean(shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.random(shape), 4)
    field -= field.min()
    return 100 + 1000 * field / field.max()


def _samples(tmp_path, source, target, shape=(128, 160), count=3) -> list[Sample]:
    """Return pairs made of clean images by two functions of image and random generator."""
    axes = "ZYX"[-len(shape) :]
    samples = []
    for number in range(count):
        clean, rng = _clean(shape, number), np.random.default_rng([1, number])
        pair = []
        for role, make in (("source", source), ("target", target)):
            file = tmp_path / f"{role} {number}.tif"
            write_image(file, make(clean, rng).clip(0, 65535).astype(np.uint16), axes)
            pair.append(open_image(file))
        samples.append(Sample(pair[0], pair[1], str(number)))
    return samples


def same(clean, rng):
    return clean


def noisy(clean, rng):
    return rng.poisson(clean / 20) * 20 + rng.normal(0, 30, clean.shape)


def blurred(clean, rng):
    return ndimage.gaussian_filter(clean, 2)


def dim(clean, rng):
    return rng.poisson(clean / 10)


def shifted(clean, rng):
    return rng.poisson(clean) + 2000


@pytest.mark.parametrize("shape", [(128, 160), (6, 96, 96), (20, 12)])
@pytest.mark.parametrize(("source", "expected"), [(noisy, True), (blurred, True), (dim, False), (shifted, False)])
def test_tells_noise_and_blur_from_another_exposure(tmp_path, source, expected, shape):
    axes = "ZYXC" if len(shape) == 3 else "YXC"
    assert same_units(_samples(tmp_path, source, same, shape), axes, 2, 99.8) is expected


def test_noise_that_hides_everything_is_told(tmp_path):
    """Normalized by the noise, such a target would be next to nothing for the network."""

    def buried(clean, rng):
        return 20_000 + clean + rng.normal(0, 3000, clean.shape)

    def bright(clean, rng):
        return 20_000 + clean

    assert not same_units(_samples(tmp_path, buried, bright), "YXC", 2, 99.8)


def test_most_of_the_pairs_decide(tmp_path):
    good = _samples(tmp_path, noisy, same, count=2)
    (tmp_path / "odd").mkdir()
    odd = _samples(tmp_path / "odd", dim, same, count=3)
    assert same_units([*good, odd[0]], "YXC", 2, 99.8)
    assert not same_units([good[0], *odd], "YXC", 2, 99.8)


def test_without_targets_there_is_nothing_to_compare(tmp_path):
    sample = _samples(tmp_path, noisy, same, count=1)[0]
    assert not same_units([Sample(sample.source, None, "alone")], "YXC", 2, 99.8)
