"""How the command line prints figures of quality."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dl4fiji.cli.train import print_result

MASKS = {"iou": {"at 0.5": 0.7771, "prediction": 0.8291}, "iou_curve": [[0.01, 0.2]], "images": []}
IMAGES = {"psnr": {"input": 24.2, "prediction": 30.4}, "images": []}


@pytest.mark.parametrize(
    ("quality", "parts"),
    [
        (MASKS, ("against the truth", "at 0.5", "prediction", "IOU", "0.777", "0.829")),
        (IMAGES, ("against the truth", "input", "PSNR", "24.200", "30.400")),
        ({"masked_mse": {"prediction": 0.5}}, ("was hidden", "input", "MASKED MSE", "0.500")),
    ],
)
def test_figures_stand_beside_what_they_are_compared_with(
    quality: dict[str, object], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(SimpleNamespace(id="7", state="COMPLETE", result={"quality": quality}))
    printed = " ".join(capsys.readouterr().out.split())
    for part in parts:
        assert part in printed
    assert "curve" not in printed.lower()
