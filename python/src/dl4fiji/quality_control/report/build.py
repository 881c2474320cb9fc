"""From what is known of a model to its report."""

from __future__ import annotations

from datetime import datetime

from dl4fiji import __version__
from dl4fiji.quality_control.report import facts, methods, quality
from dl4fiji.quality_control.report.document import Block, Paragraph, Points, Reference, References, Report, Section
from dl4fiji.quality_control.report.references import to_cite
from dl4fiji.quality_control.report.subject import Subject


def build(subject: Subject, made: datetime | None = None) -> Report:
    """Return the report of a training or an evaluation.

    Parameters
    ----------
    subject
        What it is about; all that is unknown is left out or said to be so.
    made
        When; now by default.
    """
    info = subject.info
    when = f"trained {info.created:%Y-%m-%d}"
    what = "evaluation report" if subject.evaluated is not None else "training report"
    by = f", by {', '.join(info.authors)}" if info.authors else ""
    sections = [
        _warnings(subject),
        quality.examples(subject),
        quality.quality(subject),
        methods.methods(subject),
        facts.data(subject),
        facts.course(subject),
        facts.options(subject),
        facts.certificate(subject),
        facts.computer(subject),
        _references(subject),
    ]
    return Report(
        title=f"{info.name}: {what}",
        subtitle=f"{subject.network.title}, {when}{by}",
        lead=methods.lead(subject),
        sections=tuple(section for section in sections if section is not None),
        made=f"DL4Fiji {__version__}, {made or datetime.now():%Y-%m-%d %H:%M}",
    )


def _warnings(subject: Subject) -> Section:
    text = (
        "None. Checked: overfitting, convergence, number of images and objects, saturation, likeness of training "
        "and validation images, metrics that disagree, predictions worse than the input."
    )
    blocks: list[Block] = [Points(tuple(subject.warnings), warning=True) if subject.warnings else Paragraph(text)]
    if subject.notes:
        blocks += [
            Paragraph("Noted when the images were read and the network was trained:"),
            Points(tuple(subject.notes)),
        ]
    return Section("Warnings", tuple(blocks))


def _references(subject: Subject) -> Section:
    optimizer = subject.info.training.get("optimizer", "")
    cited = to_cite(subject.network, subject.metrics, optimizer, exported=bool(subject.certificate))
    entries = tuple(
        Reference(citation.text, f"https://doi.org/{citation.doi}" if citation.doi else "") for citation in cited
    )
    return Section("References", (Paragraph("Please cite what you used:", "small"), References(entries)))
