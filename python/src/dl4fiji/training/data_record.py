"""What is kept of the images of a training: files with checksums, roles, clipped pixels, and which are alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dl4fiji.data.dataset import Dataset, ImagePair, Sample
from dl4fiji.data.image import ImageSource
from dl4fiji.progress import Progress, stop_if_canceled
from dl4fiji.quality_control.likeness import Fingerprint, fields, fingerprint, likenesses, saturated_share
from dl4fiji.quality_control.record import FileRecord, ImageRecord, Record, Role
from dl4fiji.training.evaluation import center, read_sample

_CHECKSUM_BYTES = 8 << 30
"""Data larger than this get no checksums: reading them once more would take minutes."""

_LOOKED_AT = 1 << 30
"""Pixels, of the sources, that are looked at for likeness and saturation; images beyond are left out."""


def record_data(dataset: Dataset, progress: Progress) -> Record:
    """Return what the report tells of the images; of data larger than some GiB less is looked at.

    Parameters
    ----------
    dataset
        Split into training and validation.
    progress
        Asked after each image whether to stop.
    """
    validation, left = _look(dataset, dataset.validation, _LOOKED_AT // 2, progress)
    training, _ = _look(dataset, dataset.train, _LOOKED_AT // 2 + left, progress)
    shares: dict[Path, list[float]] = {}
    for sample, (_, share) in [
        *zip(dataset.validation, validation, strict=False), *zip(dataset.train, training, strict=False)
    ]:  # fmt: skip
        shares.setdefault(sample.source.path, []).append(share)
    pairs = (*dataset.pairs, *dataset.validation_pairs)
    files = {image.path for pair in pairs for image in (pair.source, pair.target) if image is not None}
    hashed = sum(file.stat().st_size for file in files if file.is_file()) <= _CHECKSUM_BYTES
    roles = _roles(dataset)
    images = []
    for pair in pairs:
        stop_if_canceled(progress)
        images.append(_image(pair, roles[pair.source.path], shares.get(pair.source.path), hashed))
    return Record(
        images=tuple(images),
        likenesses=likenesses([one for one, _ in training], [one for one, _ in validation]),
        fields=fields([one for one, _ in validation]),
        compared=(len(training), len(validation)),
    )


def _look(
    dataset: Dataset, samples: Sequence[Sample], budget: int, progress: Progress
) -> tuple[list[tuple[Fingerprint, float]], int]:
    """Return fingerprint and saturated share of samples until ``budget`` pixels are read, and what is left of it."""
    found = []
    for sample in samples:
        stop_if_canceled(progress)
        source, target = read_sample(sample, dataset.network_axes, center(sample, dataset.spatial_axes))
        budget -= source.size
        if budget < 0:
            break
        found.append((fingerprint(sample.name, source, target), saturated_share(source)))
    return found, max(budget, 0)


def _roles(dataset: Dataset) -> dict[Path, Role]:
    """Return by the path of a source what it is for."""
    training = {sample.source.path for sample in dataset.train}
    validation = {sample.source.path for sample in dataset.validation}
    roles: dict[Path, Role] = dict.fromkeys(training, "training")
    for path in validation:
        roles[path] = "both" if path in training else "validation"
    return roles


def _image(pair: ImagePair, role: Role, shares: Sequence[float] | None, hashed: bool) -> ImageRecord:
    source, target = pair.source, pair.target
    sizes = [(axis, size) for axis, size in zip(source.axes, source.shape, strict=True) if size > 1 or axis in "YX"]
    return ImageRecord(
        name=pair.name,
        role=role,
        axes="".join(axis for axis, _ in sizes),
        shape=tuple(size for _, size in sizes),
        type=str(source.dtype),
        source=_file(source, hashed),
        target=_file(target, hashed) if target is not None else None,
        saturated=float(np.mean(shares)) if shares else None,
    )


def _file(image: ImageSource, hashed: bool) -> FileRecord:
    """Return name, size and checksum of a file, as far as it is one."""
    path = image.path
    if not path.is_file():
        return FileRecord(name=path.name)
    checksum = ""
    if hashed:
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRecord(name=path.name, bytes=path.stat().st_size, sha256=checksum)
