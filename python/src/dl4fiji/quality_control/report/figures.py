"""Curves and distributions, in colors and line styles that can be told apart by everyone and in grey print."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dl4fiji.history import Row, best_row
from dl4fiji.quality_control.report.document import Picture
from dl4fiji.quality_control.report.words import count
from dl4fiji.quality_control.titles import compared_kind, kind_title, metric_text

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5b6770"
"""Colors of Okabe and Ito's palette, which color-blind people can tell apart."""

WIDTH = 7.1
"""Inches: the width of the text on a page of A4."""

DPI = 160
_STYLE: Any = {"font.size": 8.5, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}
_MOST_LINES = 60
_SHORT = {"prediction": "pred.", "default thresholds": "default"}


def new_figure(width: float = WIDTH, height: float = 2.6) -> Figure:
    """Return an empty figure; it knows no state that figures share."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def style() -> Any:
    """Return the context in which figures are drawn."""
    import matplotlib as mpl

    return mpl.rc_context(_STYLE)


def curves(rows: Sequence[Row]) -> Picture | None:
    """Return losses and learning rate over the epochs; None without a history."""
    best = best_row(rows)
    if best is None:
        return None
    with style():
        figure = new_figure(height=2.7)
        losses, rates = figure.subplots(1, 2, width_ratios=(2.2, 1))
        epochs = [row["epoch"] for row in rows]
        marks = {"marker": "o", "markersize": 3} if len(rows) < 25 else {}
        losses.plot(epochs, [row["loss"] for row in rows], color=BLUE, label="training", **marks)
        losses.plot(epochs, [row["val_loss"] for row in rows], color=ORANGE, ls="--", label="validation", **marks)
        losses.plot(best["epoch"], best["val_loss"], "D", color="black", ms=5, ls="", label="weights that were kept")
        values = [row[name] for row in rows for name in ("loss", "val_loss")]
        logarithmic = min(values) > 0 and max(values) > 5 * min(values)
        if logarithmic:
            losses.set_yscale("log")
        losses.set(xlabel="Epoch", ylabel="Loss (logarithmic)" if logarithmic else "Loss")
        losses.legend(frameon=False)
        rates.step(epochs, [row["learning_rate"] for row in rows], where="mid", color=GREEN)
        rates.set(xlabel="Epoch", ylabel="Learning rate", yscale="log")
        for axes in (losses, rates):
            _tidy(axes)
        content = png(figure)
    return Picture(
        content,
        "Left: loss of the training patches (solid) and of the validation patches (dashed), which the training never "
        f"saw; the diamond marks epoch {best['epoch']:.0f}, whose weights were kept. Right: learning rate.",
        f"Training loss from {rows[0]['loss']:.4g} to {rows[-1]['loss']:.4g} and validation loss from "
        f"{rows[0]['val_loss']:.4g} to {rows[-1]['val_loss']:.4g} in {count(len(rows), 'epoch')}.",
    )


def per_image(images: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> Picture | None:
    """Return the main metrics of each image, beside what is compared with it; None for fewer than 2 images."""
    names = [name for name in metrics if _shown(name) and any(name in image["prediction"] for image in images)][:4]
    if len(images) < 2 or not names:
        return None
    kind = compared_kind(metrics[names[0]])
    with style():
        figure = new_figure(height=2.5)
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _paired(axes, images, name, kind)
        content = png(figure)
    lines = ", joined by a line" if kind and len(images) <= _MOST_LINES else ""
    what = f"Each dot is an image: {kind_title(kind)} on the left, prediction on the right{lines}" if kind else (
        "Each dot is an image"
    )  # fmt: skip
    return Picture(
        content, f"{what}; the bar is the median.",
        f"Values of {', '.join(metric_text(name).title for name in names)} for {count(len(images), 'image')}.",
    )  # fmt: skip


def _shown(name: str) -> bool:
    return "_slices" not in name and "_class_" not in name


def _paired(axes: Axes, images: Sequence[Mapping[str, Any]], name: str, kind: str) -> None:
    """Draw the values of one metric."""
    metric = metric_text(name)
    kinds = [kind, "prediction"] if kind else ["prediction"]
    known = [image for image in images if all(name in image.get(one, {}) for one in kinds)]
    columns = [[float(image[one][name]) for image in known] for one in kinds]
    if len(kinds) == 2 and len(known) <= _MOST_LINES:
        for pair in zip(*columns, strict=True):
            axes.plot((0, 1), pair, color=GREY, lw=0.6, alpha=0.6)
    for place, (values, color, mark) in enumerate(
        zip(columns, (GREY, BLUE)[-len(kinds) :], "so"[-len(kinds) :], strict=True)
    ):
        axes.plot([place] * len(values), values, mark, color=color, ms=4, alpha=0.75, ls="")
        if values:
            median = sorted(values)[len(values) // 2] if len(values) % 2 else sum(
                sorted(values)[len(values) // 2 - 1 : len(values) // 2 + 1]) / 2  # fmt: skip
            axes.plot((place - 0.22, place + 0.22), (median, median), color="black", lw=1.8)
    axes.set_xticks(range(len(kinds)), [_SHORT.get(kind_title(one), kind_title(one)) for one in kinds])
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.set_title(f"{metric.title}{f' ({metric.unit})' if metric.unit else ''}")


def curve(points: Sequence[Sequence[float]], name: str, mark: float | None, x: str, caption: str) -> Picture:
    """Return a figure over a threshold.

    Parameters
    ----------
    points
        Pairs of threshold and value.
    name
        Of the metric.
    mark
        A threshold to mark.
    x
        What the threshold is.
    caption
        What is to be seen.
    """
    title = metric_text(name).title
    with style():
        figure = new_figure(width=4.4, height=2.5)
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), color=BLUE, marker="o" if len(points) <= 20 else "", ms=4)
        if mark is not None:
            axes.axvline(mark, color=ORANGE, ls="--", lw=1.2)
            axes.annotate(f" {mark:g}", (mark, 0.03), xycoords=("data", "axes fraction"), color=ORANGE)
        axes.set(xlabel=x, ylabel=title, ylim=(0, 1.02))
        axes.grid(alpha=0.25)
        content = png(figure)
    highest = max(points, key=lambda point: point[1])
    return Picture(content, caption, f"{title} is highest, {highest[1]:.2f}, at {highest[0]:g}.", width=0.62)


def _tidy(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
