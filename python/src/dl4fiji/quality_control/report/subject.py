"""What a report is about: a model, the figures of a training or an evaluation, and what was kept of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import ValidationError

from dl4fiji.errors import InputError
from dl4fiji.files import read_json
from dl4fiji.history import Row, read_history
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.network import Network
from dl4fiji.networks import get
from dl4fiji.options import check_options
from dl4fiji.quality_control.advice import Evidence, review
from dl4fiji.quality_control.record import ExampleRecord, Record

Panels = Mapping[str, np.ndarray]
Example = tuple[ExampleRecord, Panels]
"""An example image and its panels, see `dl4fiji.training.examples`."""


@dataclass(frozen=True)
class Evaluated:
    """An evaluation on images that are not those of the training."""

    source: str
    """The folder or file of the images."""
    truth: str = ""
    made: str = ""
    """When, for people."""


@dataclass(frozen=True)
class Subject:
    """What is known; what is not is empty, and the report says so."""

    info: ModelInfo
    network: Network
    quality: Mapping[str, Any]
    """Figures in the form of `dl4fiji.model.ModelInfo.quality`, of the training or of an evaluation."""
    rows: Sequence[Row] = ()
    record: Record = field(default_factory=Record)
    examples: Sequence[Example] = ()
    certificate: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    told: Sequence[str] = ()
    """Warnings that were given already."""
    evaluated: Evaluated | None = None

    @cached_property
    def options(self) -> Any:
        """The options of the training as the network's own model; of an older version as far as it has them."""
        known = {name: value for name, value in self.info.options.items() if name in self.network.Options.model_fields}
        return check_options(self.network.Options, known, self.network.title)

    @property
    def judged(self) -> list[Mapping[str, Any]]:
        """The figures per image: ``name``, ``prediction`` and what that is compared with."""
        return [row for row in self.quality.get("images", []) if row.get("prediction")]

    @property
    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """The figures of all images together, by the name of the metric."""
        return {
            name: values for name, values in self.quality.items()
            if isinstance(values, Mapping) and isinstance(values.get("prediction"), int | float)
        }  # fmt: skip

    @cached_property
    def warnings(self) -> list[str]:
        """What a reviewer would raise."""
        training, evaluated = self.info.training, self.evaluated is not None
        trained = training.get("training_images")
        judged = len(self.judged) if evaluated else training.get("validation_images")
        canceled = bool(training.get("canceled"))
        evidence = Evidence(
            rows=self.rows,
            quality=self.quality,
            images=None if trained is None or judged is None else (trained, judged),
            record=None if evaluated else self.record,
            ended=not (canceled or training.get("stopped_early")),
            judged=evaluated or not canceled,
        )
        return review(evidence)

    @property
    def notes(self) -> list[str]:
        """What else was told in the training or evaluation."""
        return [text for text in dict.fromkeys(self.told) if text not in self.warnings]


def of_training(folder: ModelFolder) -> Subject:
    """Return what the report of a training is about; models of older versions lack some of it.

    Raises
    ------
    NotFoundError
        If there is no such model, or its network is not known.
    InputError
        If one of its files is damaged.
    """
    info = folder.read()
    record = _record(folder)
    return Subject(
        info=info,
        network=get(info.network),
        quality=info.quality,
        rows=read_history(folder.history_file) if folder.history_file.is_file() else (),
        record=record,
        examples=_examples(folder, record),
        certificate=_json(folder.certificate_file),
        request=_json(folder.request_file),
        told=info.warnings,
    )


def of_evaluation(
    folder: ModelFolder,
    quality: Mapping[str, Any],
    evaluated: Evaluated,
    warnings: Sequence[str] = (),
    examples: Sequence[Example] = (),
) -> Subject:
    """Return what the report of an evaluation is about.

    Parameters
    ----------
    folder
        The model that was evaluated.
    quality
        Figures in the form of `dl4fiji.model.ModelInfo.quality`.
    evaluated
        On what.
    warnings
        What the evaluation warned of.
    examples
        Example images of the evaluation.
    """
    training = of_training(folder)
    return Subject(
        info=training.info, network=training.network, quality=quality, rows=training.rows, record=training.record,
        examples=examples, certificate=training.certificate, request=training.request, told=list(warnings),
        evaluated=evaluated,
    )  # fmt: skip


def _record(folder: ModelFolder) -> Record:
    try:
        return Record.model_validate(_json(folder.record_file))
    except ValidationError as error:
        raise InputError(f"{folder.record_file} is damaged ({error}): delete it, the report can do without.") from error


def _json(file: Any) -> dict[str, Any]:
    """Return the content of a JSON file; nothing if it is not there."""
    if not file.is_file():
        return {}
    try:
        content = read_json(file)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}): restore it, or make the model again.") from error
    return content if isinstance(content, dict) else {}


def _examples(folder: ModelFolder, record: Record) -> list[Example]:
    if not record.examples or not folder.examples_file.is_file():
        return []
    with np.load(folder.examples_file, allow_pickle=False) as kept:
        return [
            (example, {name: kept[f"{number}.{name}"] for name in example.panels if f"{number}.{name}" in kept})
            for number, example in enumerate(record.examples)
        ]
