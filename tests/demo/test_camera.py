"""The demo's camera has the statistics that it states."""

from __future__ import annotations

import numpy as np

from dl4fiji.data.image import list_images, open_image
from dl4fiji.demo.camera import Camera
from dl4fiji.demo.images import HELD_OUT, make_images, micrograph


def test_mean_and_variance_are_those_of_the_model() -> None:
    camera = Camera()
    scene = np.full((400, 400), 50.0)
    scene[0, 0] = 100.0  # the brightest pixel gets `photons`; the others half of them
    noisy, clean = camera.expose(scene, np.random.default_rng(0))
    expected = camera.background + camera.photons / 2
    values = noisy[1:].astype(np.float64)
    assert np.allclose(clean[1:], camera.offset + camera.gain * expected)
    assert abs(values.mean() - (camera.offset + camera.gain * expected)) < 0.3
    variance = camera.gain**2 * (expected + camera.read_noise**2) + 1 / 12  # shot, read, rounding
    assert abs(values.var() / variance - 1) < 0.03


def test_the_same_seed_gives_the_same_recording() -> None:
    scene = micrograph()
    first, second = (Camera().expose(scene, np.random.default_rng(3))[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_training_never_sees_the_held_out_part(tmp_path) -> None:
    images = make_images(tmp_path)
    noisy, _ = Camera().expose(micrograph(), np.random.default_rng(2018))
    assert np.array_equal(open_image(images.noisy).read(), noisy[HELD_OUT])
    tiles = list_images(images.source)
    assert [tile.name for tile in tiles] == [tile.name for tile in list_images(images.target)]
    covered = np.zeros(noisy.shape, bool)
    for tile in tiles:
        row, column = (int(part[1:]) for part in tile.stem.split("_")[1:])
        pixels = open_image(tile).read()
        region = np.s_[row : row + pixels.shape[0], column : column + pixels.shape[1]]
        assert np.array_equal(noisy[region], pixels)
        covered[region] = True
    assert not covered[HELD_OUT].any()
    assert covered.sum() == noisy.size - noisy[HELD_OUT].size
