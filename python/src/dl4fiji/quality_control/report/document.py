"""The report as data: what is said and shown once, for the page and for the PDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str
    kind: Literal["plain", "paste", "small"] = "plain"
    """``paste``: it is made to be copied into a manuscript; ``small``: it explains what stands above."""


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]
    warning: bool = False


@dataclass(frozen=True)
class Table:
    """A table; cells are text, all rows are as long as ``columns``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    """Columns with numbers, which are aligned to the right."""
    wide: frozenset[int] = frozenset()
    """Columns that need more room than others."""
    strong: frozenset[int] = frozenset()
    """Rows whose first two cells stand out."""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of the table {self.caption!r} is not as long as its columns")


@dataclass(frozen=True)
class Picture:
    """A figure with its caption."""

    content: bytes
    """A PNG or JPEG file."""
    caption: str
    description: str
    """What is seen, for those who do not see it."""
    width: float = 1.0
    """Share of the page's width."""

    @property
    def media_type(self) -> str:
        """``image/png`` or ``image/jpeg``."""
        return "image/png" if self.content.startswith(b"\x89PNG") else "image/jpeg"


@dataclass(frozen=True)
class Reference:
    """A publication."""

    text: str
    address: str = ""
    """Where it is on the web."""


@dataclass(frozen=True)
class References:
    """A numbered list of publications."""

    entries: tuple[Reference, ...]


Block = Paragraph | Points | Table | Picture | References


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """A name for links to it."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True)
class Report:
    """The whole report."""

    title: str
    subtitle: str
    lead: tuple[str, ...]
    """The summary: how good, on how many images, in comparison with what."""
    sections: tuple[Section, ...]
    made: str
    """By what and when it was made, for the foot of each page."""

    @property
    def blocks(self) -> Sequence[Block]:
        """All blocks of all sections."""
        return [block for section in self.sections for block in section.blocks]
