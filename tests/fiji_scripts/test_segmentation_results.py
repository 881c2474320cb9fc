"""What Fiji shows of a trained segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dl4fiji.data.writer import write_image
from fiji_process import FijiProcess

QUALITY = {
    "iou": {"at 0.5": 0.7771, "prediction": 0.8291}, "dice": {"at 0.5": 0.872, "prediction": 0.9032},
    "iou_class_1": {"at 0.5": 0.61, "prediction": 0.64}, "iou_curve": [[0.01, 0.2]], "images": [],
}  # fmt: skip


def test_figures_are_told_beside_those_at_one_half(fiji: FijiProcess) -> None:
    lines = fiji.groovy("return dl4fiji.JobOutcome.lines(given).join('\\n')", quality=QUALITY).splitlines()
    assert lines == [
        "IoU of the prediction 0.829, at 0.5 0.777 (mean of the validation images)",
        "Dice of the prediction 0.903, at 0.5 0.872 (mean of the validation images)",
        "IoU class 1 of the prediction 0.640, at 0.5 0.610 (mean of the validation images)",
    ]


def test_the_picture_shows_masks_beside_a_16_bit_image(fiji: FijiProcess, tmp_path: Path) -> None:
    """Input, probability and truth have their own ranges: each has dark and bright parts."""
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[16:48, 16:48] = 1
    np.savez_compressed(tmp_path / "samples.npz", input=mask.astype(np.uint16) * 30000 + 2000, truth=mask)
    classes = np.concatenate([1 - mask, mask, 0 * mask], axis=-1).astype(np.float32)
    write_image(tmp_path / "package" / "sample_output.tif", classes, "YXC")
    code = """
        def picture = dl4fiji.Samples.picture(new File(given.folder), true)
        def value = { part, x -> picture.getRGB(part * 268 + x, 22 + 130) & 0xff }
        return (0..2).collect { [value(it, 10), value(it, 130)] }.toString()
    """
    assert fiji.groovy(code, folder=str(tmp_path)) == "[[0, 255], [0, 255], [0, 255]]"
