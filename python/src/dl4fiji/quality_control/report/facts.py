"""Data and split, the course of the training, options, engines, computer."""

from __future__ import annotations

from typing import Any

from dl4fiji.options import label
from dl4fiji.quality_control.record import ImageRecord
from dl4fiji.quality_control.report import figures
from dl4fiji.quality_control.report.document import Block, Paragraph, Section, Table
from dl4fiji.quality_control.report.subject import Subject
from dl4fiji.quality_control.report.words import count, data_size, duration, number, size, unit

MOST_FILES = 60
"""Files in the table; there may be thousands."""


def data(subject: Subject) -> Section:
    """Return which images were trained on and judged on."""
    training, record = subject.info.training, subject.record
    facts = [("Images", str(training.get("images", "")))]
    split = training.get("split", {})
    if "seed" in split:
        facts.append(
            ("Split", f"by whole images, seed {split['seed']}" if not _shared(subject) else "by regions of one image")
        )
    if subject.info.pixel_size:
        sizes = ", ".join(f"{axis} {value:.4g}" for axis, value in subject.info.pixel_size.items())
        facts.append(("Pixel size", f"{sizes} {unit(subject.info.pixel_unit)}".strip()))
    if record.fields:
        facts.append(("Fields of view for validation", str(record.fields)))
    if record.compared != (0, 0):
        facts.append(("Compared for likeness", _compared(subject)))
    if subject.evaluated is not None:
        facts += [("Evaluated on", subject.evaluated.source), ("Truth", subject.evaluated.truth)]
        facts.append(("Evaluated", subject.evaluated.made))
    blocks: list[Block] = [_facts([fact for fact in facts if fact[1]])]
    if record.images:
        blocks += _files(record.images)
    elif split.get("validation"):
        names = split["validation"]
        shown = ", ".join(names[:MOST_FILES]) + (
            f" and {len(names) - MOST_FILES} more" if len(names) > MOST_FILES else ""
        )
        blocks.append(Paragraph(f"Validation: {shown}. The names of the training images were not kept."))
    return Section("Data and split", tuple(blocks))


def _shared(subject: Subject) -> bool:
    return len(subject.record.images) == 1 and subject.record.images[0].role == "both"


def _compared(subject: Subject) -> str:
    training, validation = subject.record.compared
    alike = len(subject.record.likenesses)
    found = f"{count(alike, 'validation image')} like a training image" if alike else "none alike"
    return f"{count(validation, 'validation sample')} with {count(training, 'training sample')}: {found}"


def _files(images: tuple[ImageRecord, ...]) -> list[Block]:
    """Return the table of files, and that of checksums."""
    order = sorted(images, key=lambda image: image.role == "training")
    shown = order[:MOST_FILES]
    rows = [
        (
            image.name,
            image.role,
            size(image.shape) + ("" if image.axes == "YX" else f" ({image.axes})"),
            image.type,
            data_size(image.source.bytes),
            _share(image.saturated),
            *((file.sha256 if file else "")[:12] or "–" for file in (image.source, image.target)),
        )
        for image in shown
    ]
    rest = f" The other {len(order) - len(shown)} are in record.json." if len(order) > len(shown) else ""
    caption = (
        f"Validation images first.{rest} SHA-256 of the files, the first 12 digits; all of them are in record.json."
    )
    columns = ("Image", "For", "Size", "Type", "File", "Clipped", "SHA-256", "of target")
    return [Table(columns, tuple(rows), caption, frozenset({4, 5}), wide=frozenset({0}))]


def _share(share: float | None) -> str:
    return "" if share is None else "no" if share == 0 else f"{100 * share:.2g} %"


def course(subject: Subject) -> Section:
    """Return the curves and what came of the training."""
    training = subject.info.training
    facts = [
        ("Epochs", _epochs(subject)),
        ("Weights kept", _best(training)),
        ("Steps per epoch", str(training.get("steps_per_epoch", ""))),
        ("Batch size", _batch(training, subject.info.options)),
        ("Optimizer", str(training.get("optimizer", ""))),
        ("Loss", subject.network.loss_text(subject.options)),
        ("Started from", str(training.get("start_from", ""))),
        (
            "Weights of the network",
            f"{training['parameters']:,}".replace(",", " ") if training.get("parameters") else "",
        ),
        ("Duration", duration(training["seconds"]) if training.get("seconds") else ""),
        ("Speed", f"{training['steps_per_second']:.3g} steps per second" if training.get("steps_per_second") else ""),
    ]
    curve = figures.curves(subject.rows)
    blocks: tuple[Block, ...] = (curve,) if curve else (Paragraph("The history of the training was not kept."),)
    return Section("Course of the training", (*blocks, _facts([fact for fact in facts if fact[1]])))


def _epochs(subject: Subject) -> str:
    training = subject.info.training
    if not training.get("epochs"):
        return ""
    text = f"{training['epochs']} of {subject.options.epochs}"
    if training.get("canceled"):
        return f"{text}, stopped by hand"
    return f"{text}, stopped early" if training.get("stopped_early") else text


def _best(training: dict[str, Any]) -> str:
    if not training.get("best_epoch"):
        return ""
    loss = f", validation loss {number(training['val_loss'])}" if training.get("val_loss") is not None else ""
    return f"epoch {training['best_epoch']}{loss}"


def _batch(training: dict[str, Any], options: dict[str, Any]) -> str:
    used, asked = training.get("batch_size"), options.get("batch_size")
    if used and asked and used != asked:
        return f"{used} (asked for {asked}: the memory did not suffice)"
    return str(used or asked or "")


def options(subject: Subject) -> Section:
    """Return all options, what differs from its default first to be seen."""
    rows, strong = [], set()
    given = subject.options.model_dump(mode="json")
    defaults = type(subject.options)().model_dump(mode="json")
    for name, field in type(subject.options).model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        value, default = given[name], defaults[name]
        if value != default:
            strong.add(len(rows))
        unit = f" {extra['unit']}" if extra.get("unit") and value not in ("", None) else ""
        standard = "default" if value == default else f"default: {_value(default)}"
        rows.append((label(name), f"{_value(value)}{unit}", standard, field.description or ""))
    unknown = [name for name in subject.info.options if name not in given]
    caption = "Options in bold differ from their defaults."
    caption += f" This version no longer has: {', '.join(unknown)}." if unknown else ""
    table = Table(
        ("Option", "Value", "", "Meaning"), tuple(rows), caption, wide=frozenset({3}), strong=frozenset(strong)
    )  # fmt: skip
    return Section("Options", (table,))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    return (
        str(value).replace("x", " × ") if isinstance(value, str) and value.replace("x", "").isdecimal() else str(value)
    )


def certificate(subject: Subject) -> Section:
    """Return which of Fiji's engines ran the exported model."""
    engines = subject.certificate.get("engines", {})
    if not engines:
        text = "The model has not been exported yet, or its export was not tried in Fiji's engines."
        return Section("Engines of Fiji", (Paragraph(text),))
    rows = []
    for name, entry in engines.items():
        difference = entry.get("max_difference")
        told = number(difference) if difference is not None else ""
        verdict = "agrees" if entry.get("agrees") else "not tried" if not entry.get("tried", True) else "does not agree"
        rows.append((name, verdict, told, str(entry.get("reason", ""))))
    tolerance = subject.certificate.get("tolerance")
    limit = f" Up to {number(tolerance)} counts as agreement." if tolerance else ""
    where = subject.certificate.get("platform", "")
    caption = (
        "The exported network was run on a test image in the engines that Fiji's plugins use; differences from Python "
        f"are on normalized intensities.{limit}{f' Machine: {where}.' if where else ''}"
    )
    columns = ("Engine", "Result", "Largest difference", "Remark")
    return Section("Engines of Fiji", (Table(columns, tuple(rows), caption, frozenset({2}), wide=frozenset({3})),))


def computer(subject: Subject) -> Section | None:
    """Return software and hardware of the training; None if neither is known."""
    training = subject.info.training
    facts = [
        ("Device", str(training.get("device", ""))),
        ("Processor", "" if training.get("cpu") == training.get("device") else str(training.get("cpu", ""))),
        ("Memory", f"{training['memory_gib']:g} GiB" if training.get("memory_gib") else ""),
        ("System", str(training.get("system", ""))),
        ("Software", ", ".join(f"{name} {value}" for name, value in training.get("versions", {}).items())),
    ]
    known = [fact for fact in facts if fact[1]]
    return Section("Software and hardware", (_facts(known),)) if known else None


def _facts(facts: list[tuple[str, str]]) -> Table:
    return Table(("", ""), tuple(facts), wide=frozenset({1}))
