"""Example images: input, prediction, truth and maps in one figure, with the contrast said."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dl4fiji.quality_control.record import ExampleRecord
from dl4fiji.quality_control.report.document import Picture
from dl4fiji.quality_control.report.figures import WIDTH, new_figure, style
from dl4fiji.quality_control.titles import kind_title, metric_text

CONTRAST = (0.5, 99.8)
"""Percentiles of a panel that become black and white."""

_QUALITY = 88
_MAPS = ("error", "ssim")
_LABELS = {"objects", "true objects"}
_MASKS = {"mask", "true mask"}
_TITLES = {
    "input": "Input", "prediction": "Prediction", "truth": "Truth", "probability": "Probability, 0 to 1",
    "mask": "Mask found", "true mask": "True mask", "objects": "Objects found", "true objects": "True objects",
    "agreement": "Agreement",
    "error of input": "Error of input", "error of prediction": "Error of prediction",
    "ssim of input": "SSIM of input", "ssim of prediction": "SSIM of prediction",
}  # fmt: skip


def example(record: ExampleRecord, panels: Mapping[str, np.ndarray], figures: Mapping[str, Any], kind: str) -> Picture:
    """Return the figure of an example image.

    Parameters
    ----------
    record, panels
        The image and its pictures.
    figures
        The row of this image among the figures: ``prediction`` and what that is compared with.
    kind
        What the prediction is compared with.
    """
    panels = _with_agreement(panels)
    images = [name for name in panels if not name.startswith(_MAPS)]
    maps = [name for name in panels if name.startswith(_MAPS)]
    maps.sort(key=lambda name: (name.startswith("ssim"), "prediction" in name))
    contrasts = []
    with style():
        figure = _grid(panels, len(images), len(maps))
        axes = figure.axes
        for one, name in zip(axes, images, strict=False):
            contrasts += _image(one, name, panels[name], panels["input"])
        highest = max(
            (float(np.percentile(panels[name], 99.5)) for name in maps if name.startswith("error")), default=1
        )
        for one, name in zip(axes[len(images) :], maps, strict=False):
            _map(figure, one, name, panels[name], highest)
        content = _jpeg(figure)
    caption = _caption(record, panels, figures, kind, contrasts, bool(maps))
    return Picture(content, caption, _seen(record, images + maps), width=min(1.0, len(images) / 3))


def _with_agreement(panels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the panels and, where there are masks or objects with their truth, where these agree (YXC)."""
    for found, true in (("mask", "true mask"), ("objects", "true objects")):
        if {found, true} <= set(panels):
            inside, right = panels[found] > 0, panels[true] > 0
            same = inside & right if found == "objects" else inside & (panels[found] == panels[true])
            colors = np.zeros((*inside.shape, 3))
            colors[right & ~same], colors[inside & ~right], colors[same] = _MISSED, _FALSE, _RIGHT
            return {**panels, "agreement": colors}
    return dict(panels)


_RIGHT, _FALSE, _MISSED = (0.85, 0.85, 0.85), (0.84, 0.37, 0.0), (0.0, 0.45, 0.7)


def _grid(panels: Mapping[str, np.ndarray], images: int, maps: int) -> Figure:
    """Return a figure with a row of axes for the images and one for the maps."""
    height, width = panels["input"].shape[:2]
    ratio = min(2.0, max(0.3, height / width))
    first = WIDTH / max(images, 3) * ratio + 0.25
    second = WIDTH / 4 * ratio + 0.35 if maps else 0
    figure = new_figure(height=first + second)
    rows = figure.add_gridspec(2 if maps else 1, 1, height_ratios=(first, second) if maps else (1,))
    for row, number in enumerate((images, maps)[: 2 if maps else 1]):
        grid = rows[row].subgridspec(1, max(number, 3))
        for column in range(number):
            figure.add_subplot(grid[column])
    for axes in figure.axes:
        axes.set_axis_off()
    return figure


def _image(axes: Axes, name: str, panel: np.ndarray, source: np.ndarray) -> list[str]:
    """Draw a panel and return what to say about its contrast."""
    axes.set_title(_TITLES.get(name, name.capitalize()))
    if name == "agreement":
        axes.imshow(panel, interpolation="nearest")
        return []
    if name in _LABELS:
        axes.imshow(_label_colors(panel), interpolation="nearest")
        return []
    if name in _MASKS:
        axes.imshow(_outlined(source, panel), interpolation="nearest")
        return []
    if name == "probability":
        axes.imshow(panel, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        return []
    low, high = _limits(panel)
    if panel.ndim == 3:
        axes.imshow(np.clip((panel - low) / max(high - low, 1e-12), 0, 1), interpolation="nearest")
    else:
        axes.imshow(panel, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), interpolation="nearest")
    return [f"{_TITLES.get(name, name).lower()} {low:.4g} to {high:.4g}"]


def _limits(panel: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(panel, CONTRAST)
    return float(low), float(high)


def _map(figure: Figure, axes: Axes, name: str, panel: np.ndarray, highest: float) -> None:
    """Draw a map with its scale."""
    axes.set_title(_TITLES.get(name, name))
    if name.startswith("error"):
        shown = axes.imshow(panel, cmap="inferno", vmin=0, vmax=max(highest, 1e-6), interpolation="nearest")
    else:
        shown = axes.imshow(panel, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    bar = figure.colorbar(shown, ax=axes, orientation="horizontal", fraction=0.06, pad=0.03, aspect=30)
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.locator = _few_ticks()
    bar.update_ticks()


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _label_colors(labels: np.ndarray) -> np.ndarray:
    """Return a color per label (YXC); neighboring numbers have hues a golden angle apart, edges are dark."""
    inner = labels > 0
    for axis in (0, 1):
        after = np.roll(labels, -1, axis)
        inner &= (after == labels) | (after == 0)
    hue = (labels * 0.618034) % 1.0
    colors = np.stack([0.5 * (1.25 + 0.75 * np.cos(2 * np.pi * (hue - shift))) for shift in (0, 1 / 3, 2 / 3)], axis=-1)
    return np.where(inner[..., np.newaxis], np.clip(colors, 0, 1), 0)


_CLASSES = ((1.0, 0.69, 0.0), (0.0, 0.67, 1.0), (0.9, 0.24, 0.55), (0.35, 0.82, 0.35), (0.67, 0.43, 1.0))


def _outlined(source: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the image with the areas of the classes laid over it (YXC)."""
    grey = source if source.ndim == 2 else source.mean(axis=-1)
    low, high = _limits(grey)
    ground = np.repeat(np.clip((grey - low) / max(high - low, 1e-12), 0, 1)[..., np.newaxis], 3, axis=-1)
    colors = np.asarray(_CLASSES)[(np.maximum(classes, 1).astype(int) - 1) % len(_CLASSES)]
    return np.where(classes[..., np.newaxis] > 0, 0.5 * ground + 0.5 * colors, ground)


def _jpeg(figure: Figure) -> bytes:
    """Return a figure as the content of a JPEG file, its colors not thinned."""
    content = io.BytesIO()
    options: Any = {"quality": _QUALITY, "subsampling": 0, "optimize": True}
    figure.savefig(content, format="jpeg", pil_kwargs=options, facecolor="white", bbox_inches="tight", pad_inches=0.03)
    return content.getvalue()


def _caption(
    record: ExampleRecord, panels: Mapping[str, np.ndarray], figures: Mapping[str, Any], kind: str,
    contrasts: list[str], maps: bool,
) -> str:  # fmt: skip
    """Return name, why it was chosen, part, figures and contrast."""
    text = record.name + (f" ({record.reason})" if record.reason else "")
    height, width = panels["input"].shape[:2]
    shown = f"slice {record.slice} of {record.slices}, " if record.slice else ""
    text += f"; {shown}{width} × {height} pixels are shown."
    told = _figures(figures, kind)
    text += f" The whole image has {told}." if told else ""
    if contrasts:
        text += f" Contrast, black to white: {', '.join(contrasts)}"
        text += f" (percentiles {CONTRAST[0]:g} and {CONTRAST[1]:g} of each panel)."
    if "agreement" in panels:
        missed = "missed" if "objects" in panels else "missed or of another class"
        text += f" Agreement: grey, found and true; orange, found only; blue, {missed}."
    if maps:
        text += (
            " Below: absolute error on the scale of the truth (percentiles 0.1 and 99.9 are 0 and 1; both maps have "
            "the same colors, darker is better) and SSIM around each pixel (1, yellow, is best)."
        )
    return text


def _figures(row: Mapping[str, Any], kind: str) -> str:
    told = []
    for name in ("psnr", "ssim", "iou", "dice", "f1"):
        values = row.get("prediction", {})
        if name in values:
            metric = metric_text(name)
            unit = f" {metric.unit}" if metric.unit else ""
            before = row.get(kind, {}).get(name)
            told.append(f"{metric.title} {metric.write(values[name])}{unit}")
            if before is not None:
                place = "for the input" if kind == "input" else f"at {kind_title(kind)}"
                told[-1] += f" ({metric.write(before)}{unit} {place})"
    return ", ".join(told)


def _seen(record: ExampleRecord, names: list[str]) -> str:
    return f"{', '.join(_TITLES.get(name, name) for name in names)} of {record.name}."
