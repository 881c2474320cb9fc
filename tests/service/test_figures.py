"""The rows of the table of quality on the page."""

from __future__ import annotations

from dl4fiji.service.pages import _quality


def test_masks_are_compared_with_those_at_one_half() -> None:
    quality = {
        "iou": {"at 0.5": 0.7771, "prediction": 0.8291}, "iou_class_2": {"at 0.5": 0.6, "prediction": 0.7},
        "iou_curve": [[0.01, 0.2]], "images": [],
    }  # fmt: skip
    first, second = _quality(quality)
    assert (first["title"], first["before"], first["input"], first["prediction"]) == ("IoU", "At 0.5", "0.777", "0.829")
    assert (second["title"], second["hint"]) == ("IoU, class 2", "")


def test_images_are_compared_with_the_input() -> None:
    (row,) = _quality({"psnr": {"input": 24.25, "prediction": 30.4}})
    assert (row["title"], row["before"], row["input"], row["prediction"]) == ("PSNR", "Input", "24.25", "30.40")
