"""Which images show the same field: several noisy recordings often share one clean target.

If one of them trained the network and another judged it, the validation would look better than it is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dl4fiji.data.dataset import ImagePair

_CHUNK = 1 << 15
_SAMPLES = 8
_READ_WHOLE = 1 << 25
"""Files up to this length are compared as a whole."""


def same_scenes(pairs: Sequence[ImagePair]) -> list[list[int]]:
    """Group the numbers of ``pairs`` whose target files hold the same bytes, in the order of their first pair.

    Files of different length differ, and so do those that differ in one of the samples taken all over them. Small
    files that are equal in these are then read as a whole; large ones are taken as equal, so that the check of a data
    set larger than the memory takes no longer than that of a small one.
    """
    scenes: dict[object, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        scenes[_sample(pair.target.path) if pair.target else number].append(number)
    result = []
    for numbers in scenes.values():
        first = pairs[numbers[0]].target
        if len(numbers) == 1 or first is None or first.path.stat().st_size > _READ_WHOLE:
            result.append(numbers)
            continue
        equal: dict[bytes, list[int]] = defaultdict(list)
        for number in numbers:
            target = pairs[number].target
            assert target is not None  # those without a target are alone
            equal[_digest(target.path)].append(number)
        result += equal.values()
    return sorted(result)


def _sample(path: Path) -> tuple[int, bytes]:
    """Return length and a digest of samples from the beginning to the end of a file."""
    size = path.stat().st_size
    digest = hashlib.blake2b()
    with path.open("rb") as stream:
        for number in range(_SAMPLES):
            stream.seek(max(0, size - _CHUNK) * number // (_SAMPLES - 1))
            digest.update(stream.read(_CHUNK))
    return size, digest.digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").digest()
