"""Which source image belongs to which target image: by their names."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from dl4fiji.data import findings
from dl4fiji.data.image import list_images, natural_key
from dl4fiji.data.rois import is_roi_set
from dl4fiji.errors import DataError


def pair_files(
    source: str, target: str, problems: list[str], *, outlines: bool = False
) -> list[tuple[str, Path, Path | None]]:
    """Return name, source file and target file of each pair.

    Parameters
    ----------
    source, target
        Two files or two folders; without ``target`` each file is alone.
    problems
        Takes what is wrong, one sentence each.
    outlines
        Targets may be ROI sets, named as their image with or without ``_rois``. Where source and target are the
        same, an image's target is the ROI set beside it, or else the image itself: its overlay.
    """
    left, right = Path(source).expanduser(), Path(target).expanduser() if target else None
    if outlines and right is not None and left.exists() and right.exists() and left.samefile(right):
        return _with_own(left, problems)
    if right is not None and left.exists() and right.exists() and left.samefile(right):
        problems.append(f"Source and target are the same, {left}: choose the target images.")
        return []
    if right is not None and left.exists() and right.exists() and left.is_file() != right.is_file():
        file, folder = (left, right) if left.is_file() else (right, left)
        problems.append(f"{file} is a file but {folder} a folder: give two files or two folders.")
        return []
    if left.is_file() and (right is None or right.is_file()):
        return [(left.name, left, right)]
    listed: list[list[Path]] = []
    for folder in (left, right):
        if folder is None:
            continue
        try:
            listed.append(_list_targets(folder) if outlines and folder is right else list_images(folder))
        except DataError as error:
            problems.append(error.message)
    if right is None:
        return [(file.name, file, None) for file in (listed or [[]])[0]]
    if len(listed) < 2:
        return []
    return _match(listed[0], listed[1], left, right, problems)


def _with_own(place: Path, problems: list[str]) -> list[tuple[str, Path, Path | None]]:
    """Return images with what was drawn on them: the ROI set beside each, or its own overlay."""
    try:
        images = [place] if place.is_file() else list_images(place)
    except DataError as error:
        problems.append(error.message)
        return []
    sets = _roi_sets(place.parent if place.is_file() else place)
    return [(file.name, file, sets.get(_stem(file), file)) for file in images]


def _roi_sets(folder: Path) -> dict[str, Path]:
    """Return the ROI sets of a folder by the stem of the image that they belong to."""
    files = (file for file in sorted(folder.iterdir()) if is_roi_set(file) and not file.name.startswith("."))
    return {_stem(file): file for file in files if file.is_file()}


def _list_targets(folder: Path) -> list[Path]:
    """Return label images and ROI sets of a folder; of ROI sets those alone that have no label image beside them."""
    sets = _roi_sets(folder) if folder.is_dir() else {}
    try:
        images = list_images(folder)
    except DataError:
        if not sets:
            raise
        images = []
    known = {_stem(file) for file in images}
    files = [*images, *(file for stem, file in sets.items() if stem not in known)]
    return sorted(files, key=lambda file: (natural_key(file.name), file.name))


def _match(
    sources: list[Path], targets: list[Path], left: Path, right: Path, problems: list[str]
) -> list[tuple[str, Path, Path | None]]:
    """Pair files by equal names; case and ending may differ where that leaves no doubt."""
    by_name = {unicodedata.normalize("NFC", file.name): file for file in targets}
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in targets:
        by_stem[_stem(file)].append(file)
    stems_of_sources: dict[str, int] = defaultdict(int)
    for file in sources:
        stems_of_sources[_stem(file)] += 1
    pairs: list[tuple[str, Path, Path | None]] = []
    alone: list[Path] = []
    doubtful: list[Path] = []
    for file in sources:
        exact = by_name.get(unicodedata.normalize("NFC", file.name))
        candidates = by_stem[_stem(file)]
        if exact is not None:
            pairs.append((file.name, file, exact))
        elif len(candidates) == 1 and stems_of_sources[_stem(file)] == 1:
            pairs.append((file.name, file, candidates[0]))
        else:
            (doubtful if candidates else alone).append(file)
    used = {target for _, _, target in pairs}
    left_over = [file for file in targets if file not in used] if not doubtful else []
    if not pairs and not doubtful:
        problems.append(
            f"No image in {left} has a partner of the same name in {right} ({some_names(sources)} against "
            f"{some_names(targets)}): give the two images of a pair the same name."
        )
        return []
    for files, here, there in ((alone, left, right), (left_over, right, left)):
        if files:
            problems.append(
                f"{some_names(files)} in {here} has no partner in {there}: add an image of the same name there, "
                "or remove it."
            )
    if doubtful:
        problems.append(
            f"{some_names(doubtful)} in {left} has several possible partners in {right}: "
            "give the two images of a pair exactly the same name."
        )
    return pairs


def some_names(files: Sequence[Path]) -> str:
    """Return up to three file names and how many more there are."""
    return findings.some(file.name for file in files)


def _stem(file: Path) -> str:
    stem = unicodedata.normalize("NFC", file.stem).casefold().removesuffix(".ome")
    return stem.removesuffix("_rois").removesuffix("-rois") if is_roi_set(file) else stem
