"""The report as PDF, on A4, in the DejaVu fonts that come with matplotlib."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import Align, MethodReturnValue, TableBordersLayout, TableHeadingsDisplay, WrapMode
from fpdf.fonts import FontFace

from dl4fiji.quality_control.report.document import (
    Block,
    Paragraph,
    Picture,
    Points,
    References,
    Report,
    Section,
    Table,
)

_FONT = "DejaVu"
_MARGIN, _WIDTH = 16.0, 178.0
"""Millimeters; the rest of A4."""
_TEXT, _SMALL, _CELL = 9.5, 8.0, 7.5
_LINE = 1.4
_QUIET, _BLACK, _ACCENT, _NOTE = (80, 92, 104), (0, 0, 0), (15, 118, 110), (122, 71, 8)
_MOST_HEIGHT = 235.0
"""Of a picture, so that its caption stays on its page."""

logging.getLogger("fontTools.subset").setLevel(logging.WARNING)


def to_pdf(report: Report) -> bytes:
    """Return the report as a PDF file."""
    page = _Pages(report.made)
    page.set_title(report.title)
    page.set_author("DL4Fiji")
    page.set_lang("en")
    page.add_page()
    page.write_text(report.title, 17, style="B")
    page.write_text(report.subtitle, _TEXT, color=_QUIET, after=2)
    page.write_text(" ".join(report.lead), 10.5, after=3)
    for section in report.sections:
        _section(page, section)
    return bytes(page.output())


class _Pages(FPDF):
    """A4 with numbered pages."""

    def __init__(self, made: str) -> None:
        super().__init__(format="A4")
        self._made = made
        for style, file in fonts().items():
            self.add_font(_FONT, style, file)
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(True, 18)
        self.set_font(_FONT, size=_TEXT)

    def footer(self) -> None:
        """Write by what it was made and the number of the page."""
        self.set_y(-12)
        self.set_font(_FONT, size=7)
        self.set_text_color(*_QUIET)
        self.cell(_WIDTH / 2, 5, self._made)
        self.cell(_WIDTH / 2, 5, f"{self.page_no()} / {{nb}}", align=Align.R)

    def write_text(
        self, text: str, size: float, *, style: Any = "", color: tuple[int, int, int] = _BLACK, after: float = 1.2,
        indent: float = 0.0,
    ) -> None:  # fmt: skip
        """Write a paragraph of full width."""
        self.set_font(_FONT, style, size)
        self.set_text_color(*color)
        self.set_x(_MARGIN + indent)
        self.multi_cell(
            _WIDTH - indent, size * 0.3528 * _LINE, _plain(text), align=Align.L, new_x="LMARGIN", new_y="NEXT"
        )
        self.ln(after)

    def keep_together(self, height: float) -> None:
        """Begin a new page if less than ``height`` is left."""
        if self.will_page_break(height):
            self.add_page()


@cache
def fonts() -> dict[str, Path]:
    """Return the font files of matplotlib by their style."""
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return {"": folder / "DejaVuSans.ttf", "B": folder / "DejaVuSans-Bold.ttf", "I": folder / "DejaVuSans-Oblique.ttf"}


def _plain(text: str) -> str:
    """Return text without what has no place in a line of print; line breaks become spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _section(page: _Pages, section: Section) -> None:
    page.keep_together(35)
    page.ln(2)
    page.start_section(_plain(section.title))
    page.write_text(section.title, 12.5, style="B", after=0.5)
    page.set_draw_color(*_QUIET)
    page.set_line_width(0.2)
    page.line(_MARGIN, page.get_y(), _MARGIN + _WIDTH, page.get_y())
    page.ln(2)
    for block in section.blocks:
        _block(page, block)


def _block(page: _Pages, block: Block) -> None:
    if isinstance(block, Paragraph):
        _paragraph(page, block)
    elif isinstance(block, Points):
        for item in block.items:
            _point(page, "!" if block.warning else "•", item, _NOTE if block.warning else _BLACK)
    elif isinstance(block, Picture):
        _picture(page, block)
    elif isinstance(block, References):
        for number, entry in enumerate(block.entries, start=1):
            _point(page, f"{number}.", f"{entry.text} {entry.address}".rstrip(), _BLACK, entry.address)
    else:
        _table(page, block)


def _paragraph(page: _Pages, block: Paragraph) -> None:
    if block.kind != "paste":
        small = block.kind == "small"
        page.write_text(block.text, _SMALL if small else _TEXT, color=_QUIET if small else _BLACK, after=2)
        return
    page.set_font(_FONT, "", _TEXT)
    line = _TEXT * 0.3528 * _LINE
    height: Any = page.multi_cell(_WIDTH - 4, line, _plain(block.text), dry_run=True, output=MethodReturnValue.HEIGHT)
    page.keep_together(min(height, _MOST_HEIGHT))
    first, top = page.page, page.get_y()
    page.write_text(block.text, _TEXT, after=0.5, indent=4)
    if page.page == first:
        page.set_draw_color(*_ACCENT)
        page.set_line_width(0.8)
        page.line(_MARGIN + 1, top, _MARGIN + 1, page.get_y())
    page.ln(2)


def _point(page: _Pages, mark: str, text: str, color: tuple[int, int, int], address: str = "") -> None:
    page.keep_together(10)
    page.set_font(_FONT, "B" if mark == "!" else "", _TEXT)
    page.set_text_color(*color)
    page.cell(7, _TEXT * 0.3528 * _LINE, mark)
    page.set_font(_FONT, "", _TEXT)
    page.set_text_color(*_BLACK)
    page.multi_cell(
        _WIDTH - 7, _TEXT * 0.3528 * _LINE, _plain(text), align=Align.L, new_x="LMARGIN", new_y="NEXT", link=address
    )
    page.ln(1)


def _picture(page: _Pages, block: Picture) -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(block.content)) as image:
        ratio = image.height / image.width
    width = min(_WIDTH * block.width, _MOST_HEIGHT / ratio)
    lines = len(block.caption) / 105 + 1
    page.keep_together(width * ratio + 4 + lines * _SMALL * 0.3528 * _LINE)
    page.image(io.BytesIO(block.content), x=_MARGIN, w=width, alt_text=block.description)
    page.ln(1)
    page.write_text(block.caption, _SMALL, color=_QUIET, after=3)


def _table(page: _Pages, block: Table) -> None:
    """Write a table; its head is repeated on each page."""
    titled = any(block.columns)
    page.set_font(_FONT, size=_CELL)
    page.set_text_color(*_BLACK)
    page.set_draw_color(190, 198, 206)
    page.set_line_width(0.15)
    aligns = [Align.R if number in block.numeric else Align.L for number in range(len(block.columns))]
    with page.table(
        col_widths=_widths(page, block),
        text_align=tuple(aligns),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES if titled else TableBordersLayout.NONE,
        headings_style=FontFace(emphasis="BOLD", color=_QUIET),
        first_row_as_headings=titled,
        repeat_headings=TableHeadingsDisplay.ON_TOP_OF_EVERY_PAGE,
        line_height=_CELL * 0.3528 * 1.35,
        padding=(0.6, 1.2),
        wrapmode=WrapMode.WORD,
        width=_WIDTH,
    ) as table:
        if titled:
            table.row([_plain(title) for title in block.columns])
        for number, row in enumerate(block.rows):
            cells = table.row()
            for column, cell in enumerate(row):
                strong = number in block.strong and column < 2
                cells.cell(_plain(cell), style=FontFace(emphasis="BOLD") if strong else None)
    page.ln(1)
    if block.caption:
        page.write_text(block.caption, _SMALL, color=_QUIET, after=3)
    else:
        page.ln(2)


def _widths(page: _Pages, block: Table) -> tuple[float, ...]:
    """Return widths of columns: what their texts need, the wide ones take what is left or give way."""
    needed = []
    for number, title in enumerate(block.columns):
        texts = [title, *(row[number] for row in block.rows)] if number not in block.numeric else [
            max(title.split(" ") or [""], key=len), *(row[number] for row in block.rows)]  # fmt: skip
        page.set_font(_FONT, "B", _CELL)
        needed.append(max(page.get_string_width(_plain(text)) for text in texts) + 3.5)
    page.set_font(_FONT, "", _CELL)
    total = sum(needed)
    wide = [number for number in range(len(needed)) if number in block.wide] or list(range(len(needed)))
    if total <= _WIDTH:
        spare = (_WIDTH - total) / len(wide)
        return tuple(width + spare if number in wide else width for number, width in enumerate(needed))
    fixed = sum(width for number, width in enumerate(needed) if number not in wide)
    room = _WIDTH - fixed
    share = sum(needed[number] for number in wide)
    if room < 20 * len(wide):  # even without them there is no room: all give way alike
        return tuple(width * _WIDTH / total for width in needed)
    return tuple(width * room / share if number in wide else width for number, width in enumerate(needed))
