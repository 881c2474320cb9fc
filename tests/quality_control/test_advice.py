"""Warnings about histories and figures."""

from __future__ import annotations

from typing import Any

import pytest

from dl4fiji.quality_control import advice
from dl4fiji.quality_control.advice import Evidence, review
from dl4fiji.quality_control.record import FileRecord, ImageRecord, Likeness, Record


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


def _image(name: str, role: Any = "training", saturated: float | None = 0.0) -> ImageRecord:
    return ImageRecord(
        name=name,
        role=role,
        axes="YX",
        shape=(64, 64),
        type="uint16",
        source=FileRecord(name=name),
        saturated=saturated,
    )


def test_few_validation_images_or_few_fields_of_view() -> None:
    assert "1 validation image, too few" in advice.few_judged(1)
    assert "2 validation images, too few" in advice.few_judged(2)
    assert "8 validation images of 1 field of view" in advice.few_judged(8, 1)
    assert advice.few_judged(3) == ""
    assert advice.few_judged(8, 4) == ""


def test_parts_of_one_image() -> None:
    assert "parts of one image, a.tif" in advice.single_image([_image("a.tif", "both")])
    assert advice.single_image([_image("a.tif"), _image("b.tif", "validation")]) == ""
    assert advice.single_image([_image("film.tif", "both"), _image("film 2.tif", "both")]) == ""
    assert advice.single_image([]) == ""


@pytest.mark.parametrize(
    ("kind", "words"),
    [("identical", "have the same pixels"), ("same truth", "have the same truth"), ("alike", "(correlation 0.91)")],
)
def test_leakage_names_the_images(kind: Any, words: str) -> None:
    found = Likeness(training="a.tif", validation="b.tif", kind=kind, correlation=0.91)
    told = advice.leakage([found, found])
    assert "b.tif in validation and a.tif in training" in told
    assert words in told
    assert "1 more like these" in told
    assert "more like" not in advice.leakage([found])
    assert advice.leakage([]) == ""


def test_saturation_names_the_worst_image() -> None:
    told = advice.saturation(
        [_image("a", saturated=0.002), _image("b", saturated=0.05), _image("c"), _image("d", saturated=None)]
    )
    assert told.startswith("2 of 4 images are saturated, most of all b with 5 %")
    assert advice.saturation([_image("a", saturated=0.0009), _image("b", saturated=None)]) == ""


def _quality(*gains: float) -> dict[str, Any]:
    images = [
        {"name": f"{n}.tif", "input": {"psnr": 20.0}, "prediction": {"psnr": 20.0 + gain}}
        for n, gain in enumerate(gains)
    ]
    return {"psnr": {"input": 20.0, "prediction": 20 + sum(gains) / len(gains)}, "images": images}


def test_some_predictions_worse_than_their_input() -> None:
    assert "1 of 3 predictions have a lower PSNR than their input, such as 1.tif" in advice.worse_images(
        _quality(3, -1, 2)
    )
    assert advice.worse_images(_quality(3, 1, 2)) == ""
    assert advice.worse_images(_quality(-3, -1)) == "", "no_gain says that already"
    assert advice.no_gain(_quality(-3, -1))
    assert (
        advice.worse_images({"iou": {"prediction": 0.5}, "images": [{"name": "a", "prediction": {"iou": 0.5}}]}) == ""
    )


def test_metrics_that_disagree() -> None:
    quality = {"psnr": {"input": 20, "prediction": 25}, "ssim": {"input": 0.8, "prediction": 0.7},
               "nrmse": {"input": 0.2, "prediction": 0.1}}  # fmt: skip
    assert "better than the input by PSNR and NRMSE, but worse by SSIM" in advice.contradiction(quality)
    quality["ssim"]["prediction"] = 0.9
    assert advice.contradiction(quality) == ""
    assert advice.contradiction({"iou": {"at 0.5": 0.5, "prediction": 0.6}}) == ""


def test_metrics_that_disagree_with_the_loss() -> None:
    rows = [
        {"epoch": n + 1.0, "loss": 1 - 0.05 * n, "val_loss": 1 - 0.05 * n, "val_iou": 0.8 - 0.05 * n} for n in range(10)
    ]
    told = advice.loss_against_metrics(rows)
    assert "lowest at epoch 10, but IoU is best at epoch 1 (0.8 instead of 0.35)" in told
    for number, row in enumerate(rows):
        row["val_iou"] = 0.3 + 0.05 * number
    assert advice.loss_against_metrics(rows) == ""
    assert advice.loss_against_metrics(_rows(FALLING, FALLING)) == ""


def test_few_objects() -> None:
    assert "12 objects only" in advice.few_objects({"objects": [["true", 12], ["found", 10], ["right", 9]]})
    assert advice.few_objects({"objects": [["true", 100], ["found", 10], ["right", 9]]}) == ""
    assert advice.few_objects({}) == ""


def test_no_truth() -> None:
    assert "not known" in advice.no_truth({"masked_mse": {"prediction": 0.1}})
    assert advice.no_truth(_quality(1)) == ""
    assert advice.no_truth({"f1": {"prediction": 0.4}}) == ""


def test_a_review_asks_all_rules() -> None:
    bad = Evidence(
        rows=_rows(FALLING, [0.5] * 4 + [0.4] + [0.6 + 0.05 * number for number in range(15)]),
        quality=_quality(-1),
        images=(1, 1),
        record=Record(
            images=(_image("a", "both", 0.5),),
            likenesses=(Likeness(training="a", validation="b", kind="identical"),),
        ),
    )
    told = review(bad)
    for word in (
        "overfits",
        "1 image only",
        "1 validation image",
        "parts of one image",
        "same pixels",
        "saturated",
        "no better",
    ):
        assert sum(word in sentence for sentence in told) == 1, word
    assert all(sentence.endswith(".") for sentence in told)
    good = Evidence(
        rows=_rows([0.5] * 20, [0.4] * 20), quality=_quality(3, 4, 5), images=(40, 4),
        record=Record(images=(_image("a"), _image("b", "validation")), compared=(40, 4)),
    )  # fmt: skip
    assert review(good) == []
    assert review(Evidence(judged=False)) == [], "a canceled training has no figures, which is no surprise"
