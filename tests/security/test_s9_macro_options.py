"""Row S9: quotes, brackets, newlines and letters of all kinds pass through macro options unchanged."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dl4fiji.client import ServiceClient
from fiji_process import FijiError, FijiProcess, fiji_of

pytestmark = pytest.mark.jvm

CASES = 500
_PARTS = (
    "a", "B", "7", " ", "  ", "[", "]", "[]", "(", ")", "{", "}", '"', "'", "`",
    "\\", "\\n", "\n", "\t", "\r\n", "=",
    "&", "source=", "target=", "encoded:", "%", "%41", "%5D", "+", ";", ",", "$x", "${x}", "<b>", "&amp;", "--", "#@",
    "é", "ß", "漢字", "Ω", "🔬", "\u00a0", "\u2028", "..", "/", "null", "true",
)  # fmt: skip


@pytest.fixture(scope="module")
def fiji() -> Iterator[FijiProcess]:
    """The embedded ImageJ."""
    yield from fiji_of()


def values(count: int) -> list[str]:
    """Return texts that no path begins with, so that the service repeats them in its answer."""
    generator = random.Random(9)
    texts = ["".join(generator.choice(_PARTS) for _ in range(generator.randint(1, 9))) for _ in range(count)]
    return [f"x{text}" if text.startswith(("/", "~")) else text for text in texts]


def brackets_pair(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth < 0:
            return False
    return depth == 0


def option(value: str) -> str:
    """Write a value as the manual says: in brackets, or encoded where brackets do not pair."""
    if brackets_pair(value) and not value.startswith("encoded:"):
        return f"[{value}]"
    return "encoded:" + quote(value, safe="/=;:,+é漢")


def macro_literal(text: str) -> str:
    """Write a text as a string of ImageJ's macro language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def told(sentence: str) -> str:
    """Return the value that the service repeats in its sentence."""
    head, tail = " is ", " but must be an absolute path"
    return ast.literal_eval(sentence[sentence.index(head) + len(head) : sentence.index(tail)])


def test_s9_five_hundred_texts_arrive_unchanged(fiji: FijiProcess, record_property: Callable[[str, Any], None]) -> None:
    """Through a macro, the menu script and HTTP, to the service, which repeats what it got."""
    sources, targets = values(CASES), list(reversed(values(CASES)))
    changed, literals, encoded = [], 0, 0
    for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
        options = f"validation_source=/none source={option(source)} target={option(target)}"
        literals, encoded = literals + option(source).startswith("["), encoded + option(source).startswith("encoded:")
        in_text = index % 2 == 0 and "\r" not in options
        macro = f'run("CARE 2D", {macro_literal(options)});' if in_text else 'run("CARE 2D", getArgument());'
        with pytest.raises(FijiError) as error:
            fiji.run_macro(macro, "" if in_text else options)
        others = [line.removeprefix("Also: ") for line in "\n".join(fiji.printed).split("Also: ")]
        got = (told(str(error.value)), next((told(line) for line in others if line.startswith("The target is")), None))
        if got != (source, target):
            changed.append((source, target, got))
    record_property("S9", f"{CASES} cases ({literals} literal, {encoded} encoded), {len(changed)} changed")
    assert not changed
    assert min(literals, encoded) > 100


def test_s9_odd_names_are_in_the_job_as_given(fiji: FijiProcess, tmp_path: Path) -> None:
    """Folders that exist, names of authors, and a model's name."""
    source, target = tmp_path / 'a "b" [c] d] é\n漢', tmp_path / "100% o'clock ]["
    for folder in (source, target):
        folder.mkdir()
    macro = 'run("DL4Fiji Predict", getArgument());'
    options = f"model=[none such] source={option(str(source))} output={option(str(target))}"
    with pytest.raises(FijiError, match="There is no model 'none such'"):
        fiji.run_macro(macro, options)
    outputs = 'authors=[Ada "the" O\'Neil; Bö; 漢] name=[ß 1] wait=false'
    with pytest.raises(FijiError) as error:
        fiji.run_macro(
            'run("CARE 2D", getArgument());', f"source={option(str(source))} target={option(str(target))} {outputs}"
        )
    assert str(source) in str(error.value) or repr(str(source)) in str(error.value)
    with ServiceClient.connect(fiji.home, start=False) as client:
        assert client.jobs() == []
