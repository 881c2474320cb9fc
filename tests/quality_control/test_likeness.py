"""Images that show the same are found, others are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji.quality_control.likeness import ALIKE, fields, fingerprint, likenesses, saturated_share, thumbnail


def _field(seed: int, shape: tuple[int, ...] = (200, 210)) -> np.ndarray:
    """Return a clean field of cells (spatial, C), below a light that falls off to the sides."""
    rng = np.random.default_rng(seed)
    spots = (rng.random(shape) > 0.9995).astype(float)
    cells = ndimage.gaussian_filter(spots, 5)
    cells *= 2000 / cells.max()
    light = np.prod(np.meshgrid(*[np.hanning(size + 2)[1:-1] for size in shape], indexing="ij"), axis=0)
    return (100 + (cells + 400) * light)[..., np.newaxis]


def _noisy(clean: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).poisson(clean / 20).astype(np.uint16)


@pytest.mark.parametrize("shape", [(200, 210), (512, 300), (6, 128, 140)])
def test_one_field_under_other_noise_is_found_and_other_fields_are_not(shape: tuple[int, ...]) -> None:
    training = [fingerprint(f"{seed}", _noisy(_field(seed, shape), seed), None) for seed in range(12)]
    same = fingerprint("again", _noisy(_field(7, shape), 99), None)
    other = [fingerprint(f"other {seed}", _noisy(_field(seed, shape), seed), None) for seed in range(20, 32)]
    (found,) = likenesses(training, [same, *other])
    assert (found.kind, found.training, found.validation) == ("alike", "7", "again")
    assert found.correlation >= ALIKE
    highest = max(float(np.sum(a.thumbnail * b.thumbnail)) for a in training for b in other)
    assert highest < 0.5, "there is room between both"


def test_identical_images_and_identical_truths() -> None:
    truth = (_field(1) > 800).astype(np.uint8)
    first, second = _noisy(_field(1), 1), np.random.default_rng(5).integers(0, 9, (200, 210, 1)).astype(np.uint16)
    training = [fingerprint("a", first, truth)]
    kinds = [
        likenesses(training, [fingerprint("b", source, target)])
        for source, target in ((first, 1 - truth), (second, truth), (second, 1 - truth))
    ]
    assert [[one.kind for one in found] for found in kinds] == [["identical"], ["same truth"], []]


def test_empty_masks_are_no_likeness() -> None:
    empty = np.zeros((200, 210, 1), np.uint8)
    one, two = (fingerprint(f"{seed}", _noisy(_field(seed), seed), empty) for seed in (1, 2))
    assert likenesses([one], [two]) == ()
    assert fields([one, two]) == 0, "not known"


def test_fields_are_counted_by_their_truth() -> None:
    prints = [fingerprint(f"{n}", _noisy(_field(n // 2), n), _field(n // 2)) for n in range(6)]
    assert fields(prints) == 3
    assert fields([fingerprint("a", _noisy(_field(1), 1), None)]) == 0


def test_constant_and_tiny_images_have_no_thumbnail_or_a_small_one() -> None:
    assert thumbnail(np.full((100, 100, 1), 7, np.uint16)).size == 0
    assert thumbnail(np.random.default_rng(0).random((9, 70, 3))).shape == (9, 70)
    assert likenesses([fingerprint("a", np.ones((9, 9, 1)), None)], [fingerprint("b", np.zeros((9, 9, 1)), None)]) == ()


def test_clipped_pixels_pile_up() -> None:
    image = _noisy(_field(3), 3)
    assert saturated_share(image) == 0
    limit = int(np.percentile(image, 98))
    clipped = np.minimum(image, limit)
    assert saturated_share(clipped) == pytest.approx(np.mean(image >= limit))
    assert saturated_share(clipped.astype(np.float32) / 17) == pytest.approx(np.mean(image >= limit))
    assert saturated_share(np.full((5, 5), 3)) == 0
