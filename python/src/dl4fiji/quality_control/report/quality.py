"""The figures: summary with spread, per image, over thresholds, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dl4fiji.quality_control.report import figures, pictures
from dl4fiji.quality_control.report.document import Block, Paragraph, Picture, Section, Table
from dl4fiji.quality_control.report.subject import Subject
from dl4fiji.quality_control.report.words import joined, spread
from dl4fiji.quality_control.titles import compared_kind, kind_title, metric_text

MOST_ROWS = 80
"""Images in the table; of more only the worst and the best are listed."""

MOST_BYTES = 3 << 20
"""Of example pictures: the page, in which they take a third more, stays below 5 MB."""

_CURVES = "_curve"
_THRESHOLDS = {"probability": "probability", "nms": "overlap"}
_DECIDING = ("psnr", "iou", "f1")


def quality(subject: Subject) -> Section:
    """Return the section of the figures."""
    if not subject.metrics:
        text = "No figures were taken."
        return Section("How good it is", (Paragraph(text),))
    blocks: list[Block | None] = [
        _summary(subject),
        _about(subject),
        figures.per_image(subject.judged, subject.metrics),
    ]
    blocks += _over_thresholds(subject)
    blocks += [_each(subject), _definitions(subject)]
    return Section("How good it is", tuple(block for block in blocks if block is not None))


def examples(subject: Subject) -> Section | None:
    """Return the section of example images; None without any."""
    rows = {row["name"]: row for row in subject.quality.get("images", [])}
    kind = next((compared_kind(values) for values in subject.metrics.values()), "")
    blocks: list[Block] = []
    for record, panels in subject.examples:
        if "input" not in panels:
            continue
        picture = pictures.example(record, panels, rows.get(record.name, {}), kind)
        if (
            sum(len(block.content) for block in blocks if isinstance(block, Picture)) + len(picture.content)
            > MOST_BYTES
        ):
            blocks.append(Paragraph("Further examples are left out, so that the report stays small.", "small"))
            break
        blocks.append(picture)
    return Section("Example images", tuple(blocks)) if blocks else None


def _summary(subject: Subject) -> Table:
    """Return the table of means with spread and median, what the prediction is compared with beside it."""
    metrics, images = subject.metrics, subject.judged
    if not images:
        rows = [(metric_text(name).title, metric_text(name).write(one["prediction"])) for name, one in metrics.items()]
        return Table(("Metric", "Prediction"), tuple(rows), "Means; figures per image were not taken.", frozenset({1}))
    together = subject.network.task == "instances"
    kinds = list(dict.fromkeys(kind for values in metrics.values() for kind in [compared_kind(values)] if kind))[:1]
    columns = ["Metric"]
    for kind in [*kinds, "prediction"]:
        title = kind_title(kind).capitalize()
        columns += [f"{title}, all objects"] if together else []
        columns += [f"{title}, mean ± SD", "Median"]
    columns.append("n")
    rows = []
    for name, values in metrics.items():
        metric = metric_text(name)
        cells = [f"{metric.title}{f' ({metric.unit})' if metric.unit else ''}"]
        for kind in [*kinds, "prediction"]:
            one = spread(images, kind, name)
            whole = values.get(kind)
            told = metric.write(whole) if isinstance(whole, int | float) else ""
            cells += [told] if together else []
            cells += [one.text(metric), metric.write(one.median)] if one else ["" if together else told, ""]
        many = spread(images, "prediction", name)
        cells.append(str(many.count) if many else "")
        rows.append(tuple(cells))
    return Table(
        tuple(columns), tuple(rows), "Figures of all images; SD: standard deviation over n images.",
        numeric=frozenset(range(1, len(columns))),
    )  # fmt: skip


def _about(subject: Subject) -> Paragraph:
    """Return what the columns are and what not to conclude from them."""
    task, info = subject.network.task, subject.info
    if task == "segmentation":
        stored = next(iter(info.thresholds.values()), 0.5)
        return Paragraph(
            f"Prediction: masks at the stored threshold, {stored:g}, which was chosen as the best one on the "
            "validation images; the figures at 0.5 owe nothing to that choice.", "small",
        )  # fmt: skip
    if task == "instances":
        stored = joined([f"{_THRESHOLDS.get(name, name)} {value:g}" for name, value in info.thresholds.items()])
        return Paragraph(
            f"Prediction: objects at the stored thresholds ({stored or 'those of stardist'}), which were chosen as the "
            "best ones on the validation images; the figures at stardist's default thresholds, 0.5 and 0.4, owe "
            "nothing to that choice. “All objects” counts the objects of all images together, the mean is one over "
            "images.",
            "small",
        )
    if not subject.judged:
        return Paragraph(
            "There was no truth. The figures compare predictions with noisy pixels that were hidden from the network; "
            "since the noise itself is part of them, they tell whether the training went on, not how near the truth "
            "is.",
            "small",
        )
    return Paragraph(
        "The truth is normalized by its percentiles 0.1 and 99.9; input and prediction are fitted to it by least "
        "squares, so that scale and offset of the intensities do not count. Means are over images.", "small",
    )  # fmt: skip


def _over_thresholds(subject: Subject) -> list[Block | None]:
    """Return curves and tables of what was measured at many thresholds."""
    curves = {name.removesuffix(_CURVES): points for name, points in subject.quality.items() if name.endswith(_CURVES)}
    curves = {name: points for name, points in curves.items() if points}
    blocks: list[Block | None] = []
    if subject.network.task == "instances" and curves:
        for name, points in list(curves.items())[:1]:
            blocks.append(
                figures.curve(
                    points, name, None, "IoU from which on an object is right",
                    f"{metric_text(name).title} for stricter and stricter overlaps, of all objects together.",
                )
            )  # fmt: skip
        thresholds = [f"{float(point[0]):.2f}" for point in next(iter(curves.values()))]
        rows = [
            (metric_text(name).title, *(f"{float(point[1]):.2f}" for point in points))
            for name, points in curves.items()
            if len(points) == len(thresholds)
        ]
        caption = "Figures at IoU thresholds from 0.5 to 0.95, of all objects together."
        blocks.append(Table(("IoU", *thresholds), tuple(rows), caption, frozenset(range(1, len(thresholds) + 1))))
    elif curves:
        stored = next(iter(subject.info.thresholds.values()), None)
        for name, points in curves.items():
            blocks.append(
                figures.curve(
                    points, name, stored, "Threshold of the probability",
                    f"Mean {metric_text(name).title} of the images at all thresholds; the dashed line is the stored "
                    "one. A broad top means that the exact threshold does not matter.",
                )
            )  # fmt: skip
    return blocks


def _each(subject: Subject) -> Table | None:
    """Return the table of all images, of many only the worst and the best."""
    names = [name for name in subject.metrics if "_slices" not in name and "_class_" not in name][:4]
    images: Sequence[Mapping[str, Any]] = subject.judged
    if not images or not names:
        return None
    kind = compared_kind(subject.metrics[names[0]])
    beside = {"instances": 0, "segmentation": 2}.get(subject.network.task, len(names)) if kind else 0
    shown = [
        (name, one) for n, name in enumerate(names) for one in ([kind, "prediction"] if n < beside else ["prediction"])
    ]
    columns = ["Image"]
    for name, one in shown:
        columns.append(f"{metric_text(name).title}{f', {kind_title(one)}' if beside else ''}")
    caption = "Each image." if beside or not kind else "Each image, at the stored thresholds."
    if len(images) > MOST_ROWS:
        deciding = next((name for name in _DECIDING if name in names), names[0])
        ordered = sorted(images, key=lambda image: float(image["prediction"].get(deciding, 0)))
        images = [*ordered[: MOST_ROWS // 2], *ordered[-MOST_ROWS // 2 :]]
        caption = (
            f"The {MOST_ROWS // 2} worst and the {MOST_ROWS // 2} best of {len(ordered)} images by "
            f"{metric_text(deciding).title}, prediction."
        )
    rows = []
    for image in images:
        cells = [str(image["name"])]
        for name, one in shown:
            value = image.get(one, {}).get(name)
            cells.append("" if value is None else metric_text(name).write(value))
        rows.append(tuple(cells))
    numeric = frozenset(range(1, len(columns)))
    return Table(tuple(columns), tuple(rows), caption, numeric, wide=frozenset({0}))


def _definitions(subject: Subject) -> Paragraph | None:
    """Return what the metrics mean."""
    texts = {metric_text(name.partition("_class_")[0].removesuffix("_slices")) for name in subject.metrics}
    named = sorted((text for text in texts if text.definition), key=lambda text: text.title)
    told = " ".join(f"{text.title}: {text.definition}" for text in named)
    slices = any(name.endswith("_slices") for name in subject.metrics)
    told += " Mean of slices: each slice judged by the normalization and fit of its volume." if slices else ""
    if subject.network.task in ("segmentation", "instances"):
        what = "objects" if subject.network.task == "instances" else "pixels"
        told += f" TP, FP, FN: {what} found rightly, found wrongly, missed."
    return Paragraph(told, "small") if told else None
