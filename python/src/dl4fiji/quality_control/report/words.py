"""How numbers are written in the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dl4fiji.data.findings import UNITS
from dl4fiji.quality_control.titles import MetricText

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Spread:
    """Some values in short."""

    count: int
    mean: float
    deviation: float | None
    """Standard deviation of a sample (n - 1); None of a single value."""
    median: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return it of some values; None if there are none."""
        if not values:
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(len(values), statistics.fmean(values), deviation, statistics.median(values))

    def text(self, metric: MetricText) -> str:
        """Return ``mean ± SD`` without the unit."""
        if self.deviation is None:
            return metric.write(self.mean)
        return f"{metric.write(self.mean)} ± {metric.write(self.deviation)}"


def spread(images: Sequence[Mapping[str, Any]], kind: str, metric: str) -> Spread | None:
    """Return the spread over images of a metric; ``kind`` is ``prediction``, ``input`` or another column."""
    values = [image[kind][metric] for image in images if metric in image.get(kind, {})]
    return Spread.of([float(value) for value in values if math.isfinite(value)])


def number(value: float) -> str:
    """Return a number with four digits: ``0.0123``, ``4 × 10⁻⁴``."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}"
    mantissa, _, exponent = f"{value:.4e}".partition("e")
    factor = f"{float(mantissa):.4g}"
    power = f"10{str(int(exponent)).translate(_RAISED)}"
    return power if factor == "1" else f"{factor} × {power}"


def size(sizes: Sequence[int]) -> str:
    """Return ``512 × 512``."""
    return " × ".join(map(str, sizes))


def count(many: int, noun: str) -> str:
    """Return ``1 image``, ``2 images``."""
    ending = "" if many == 1 else "es" if noun.endswith("ch") else "s"
    return f"{many} {noun}{ending}"


def joined(parts: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def duration(seconds: float) -> str:
    """Return ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def data_size(many: int) -> str:
    """Return ``512 KiB``, ``1.3 GiB``."""
    amount, unit = float(many), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.3g} {unit}"


def unit(name: str) -> str:
    """Return a unit of length as it is written: ``µm`` for ``micron``."""
    return UNITS.get(name, name)


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning and a full stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
