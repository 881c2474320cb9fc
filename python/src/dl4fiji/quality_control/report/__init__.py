"""The report of a training or an evaluation, as one HTML page and as PDF.

`build` makes both of one `Report`: nothing is written twice. Heavy libraries are imported when a report is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dl4fiji.model import ModelFolder
    from dl4fiji.quality_control.report.subject import Evaluated, Example, Subject


def write_report(folder: ModelFolder, output: Path | None = None) -> tuple[Path, Path]:
    """Write the report of a trained model; what was there before is replaced.

    Parameters
    ----------
    folder
        The model; models of older versions have a report, too, with less in it.
    output
        The folder to write ``report.html`` and ``report.pdf`` to; that of the model by default.

    Returns
    -------
    tuple
        The page and the PDF.

    Raises
    ------
    NotFoundError
        If there is no such model.
    InputError
        If one of its files is damaged.
    """
    from dl4fiji.quality_control.report.subject import of_training

    return write(of_training(folder), output or folder.path)


def write_evaluation_report(
    folder: ModelFolder,
    quality: Mapping[str, Any],
    evaluated: Evaluated,
    output: Path,
    warnings: Sequence[str] = (),
    examples: Sequence[Example] = (),
) -> tuple[Path, Path]:
    """Write the report of an evaluation into the folder ``output``; see `subject.of_evaluation` for what is given."""
    from dl4fiji.quality_control.report.subject import of_evaluation

    return write(of_evaluation(folder, quality, evaluated, warnings, examples), output)


def write(subject: Subject, output: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf`` into the folder ``output``, each whole or not at all."""
    from dl4fiji.files import write_bytes, write_text
    from dl4fiji.quality_control.report.build import build
    from dl4fiji.quality_control.report.html import to_html
    from dl4fiji.quality_control.report.pdf import to_pdf

    report = build(subject)
    page, document = output / "report.html", output / "report.pdf"
    write_text(page, to_html(report))
    write_bytes(document, to_pdf(report))
    return page, document
