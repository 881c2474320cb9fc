"""Numbers, names and citations as they stand in the report."""

from __future__ import annotations

import pytest

from dl4fiji.networks import NETWORKS
from dl4fiji.quality_control.report.references import OF_METRICS, OF_OPTIMIZERS, short, to_cite
from dl4fiji.quality_control.report.words import Spread, count, data_size, duration, joined, number, spread, unit
from dl4fiji.quality_control.titles import METRICS, kind_title, metric_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(4e-4, "4 × 10⁻⁴"), (1e-5, "10⁻⁵"), (0.0123456, "0.01235"), (0, "0"), (-2.5e-7, "-2.5 × 10⁻⁷"), (12, "12"),
     (1234567, "1.235 × 10⁶"), (0.001, "0.001")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_amounts() -> None:
    assert [duration(value) for value in (45, 100, 5399, 12000)] == [
        "45 s",
        "2 min",
        "1 h 30 min",
        "3 h 20 min",
    ]
    assert [data_size(value) for value in (0, 1023, 1536, 5 << 20, 3 << 40)] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "5 MiB", "3 TiB",
    ]  # fmt: skip
    assert [count(value, "batch") for value in (1, 2)] == ["1 batch", "2 batches"]
    assert count(0, "image") == "0 images"
    assert [joined(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert (unit("micron"), unit("nm")) == ("µm", "nm")


def test_spreads_are_of_images_that_have_the_figure() -> None:
    images = [{"prediction": {"psnr": value}} for value in (1.0, 2.0, 6.0)] + [{"prediction": {}}]
    assert spread(images, "prediction", "psnr") == Spread(3, 3.0, pytest.approx(2.6457513), 2.0)
    assert spread(images, "input", "psnr") is None
    one = spread(images[:1], "prediction", "psnr")
    assert one
    assert one.text(metric_text("psnr")) == "1.00"
    assert Spread.of([1.0, 2.0]).text(metric_text("ssim")) == "1.500 ± 0.707"  # type: ignore[union-attr]


def test_metrics_in_words() -> None:
    assert metric_text("psnr_slices").title == "PSNR, mean of slices"
    assert metric_text("iou_class_3").title == "IoU, class 3"
    assert metric_text("of_the_future").title == "Of the future"
    names = ("precision", "psnr", "pearson", "dice", "iou", "panoptic_quality")
    inline = ["precision", "PSNR", "Pearson r", "Dice", "IoU", "panoptic quality"]
    assert [metric_text(name).inline for name in names] == inline
    assert [kind_title(kind) for kind in ("input", "at 0.5", "at 0.5 and 0.4")] == [
        "input", "threshold 0.5", "default thresholds",
    ]  # fmt: skip
    assert set(OF_METRICS) <= set(METRICS)


def test_citations_in_short() -> None:
    for network in NETWORKS:
        for citation in network.citations:
            words = short(citation).split()
            assert words[-1].isdecimal()
            assert len(words[-1]) == 4
            assert words[0] == citation.text.split()[0].rstrip(",")
    assert short(OF_OPTIMIZERS["Adam"]) == "Kingma and Ba 2015"
    assert short(OF_METRICS["dice"]) == "Dice 1945"


def test_each_publication_is_named_once() -> None:
    care = next(network for network in NETWORKS if network.name == "care-2d")
    cited = to_cite(care, ["psnr", "ssim", "nrmse"], "Adam", exported=True)
    assert len({citation.doi for citation in cited}) == len(cited) == 5
    assert cited[0] == care.citations[0]
    assert len(to_cite(care, [], "", exported=False)) == 2
