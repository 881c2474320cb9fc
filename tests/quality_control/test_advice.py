"""Warnings about histories and figures."""

from __future__ import annotations

import pytest

from dl4fiji.quality_control import advice


def _rows(losses: list[float], val_losses: list[float]) -> list[dict[str, float]]:
    return [
        {"epoch": number + 1.0, "loss": loss, "val_loss": val_loss}
        for number, (loss, val_loss) in enumerate(zip(losses, val_losses, strict=True))
    ]


FALLING = [1 / (number + 1) for number in range(20)]


def test_overfitting_is_a_rise_of_validation_while_training_falls() -> None:
    rising = [0.5] * 5 + [0.5 + 0.05 * number for number in range(15)]
    rising[4] = 0.4
    assert "since epoch 5" in advice.overfitting(_rows(FALLING, rising))


@pytest.mark.parametrize(
    ("losses", "val_losses"),
    [
        (FALLING, FALLING),
        (FALLING, [0.5, 0.4, *[0.41] * 18]),  # stays
        ([0.5] * 20, [0.4] * 5 + [0.9] * 15),  # both are bad
        (FALLING[:5], [0.1, 0.2, 0.3, 0.4, 0.5]),  # too short to say
        ([], []),
    ],
)
def test_no_overfitting(losses: list[float], val_losses: list[float]) -> None:
    assert advice.overfitting(_rows(losses, val_losses)) == ""


def test_negative_losses_of_likelihoods_are_understood() -> None:
    rising = [-1.0, -2.0, -2.5, *[-2.5 + 0.1 * number for number in range(17)]]
    falling = [-1 - 0.2 * number for number in range(20)]
    assert advice.overfitting(_rows(falling, rising))
    assert advice.unfinished(_rows(falling, falling))


def test_unfinished_is_a_clear_fall_to_the_end() -> None:
    assert "more epochs" in advice.unfinished(_rows(FALLING, FALLING))
    assert advice.unfinished(_rows([0.5] * 20, [0.5] * 20)) == ""
    assert advice.unfinished(_rows(FALLING[:5], FALLING[:5])) == ""


def test_few_images_and_no_gain() -> None:
    assert "1 image only" in advice.few_images(1, 1)
    assert "3 images only" in advice.few_images(3, 1)
    assert advice.few_images(20, 2) == ""
    assert "20.0 dB after 21.0 dB" in advice.no_gain({"psnr": {"input": 21.0, "prediction": 20.0}})
    assert advice.no_gain({"psnr": {"input": 20.0, "prediction": 21.0}}) == ""
    assert advice.no_gain({"psnr": {"prediction": 21.0}}) == ""
    assert advice.no_gain({}) == ""
