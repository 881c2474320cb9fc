"""The option strings of macro calls."""

from __future__ import annotations

import json
import random

import pytest

from fiji_process import FijiError, FijiProcess

pytestmark = pytest.mark.jvm


def parse(fiji: FijiProcess, text: str) -> dict[str, str]:
    return json.loads(fiji.groovy("groovy.json.JsonOutput.toJson(dl4fiji.MacroOptions.parse(given.text))", text=text))


def quote(fiji: FijiProcess, values: list[str]) -> list[str]:
    code = "groovy.json.JsonOutput.toJson(given.values.collect { dl4fiji.MacroOptions.quote(it) })"
    return json.loads(fiji.groovy(code, values=values))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("source=/a epochs=5", {"source": "/a", "epochs": "5"}),
        ("source=[/a b] target=[/c d]", {"source": "/a b", "target": "/c d"}),
        ("source=[/a [b] c]", {"source": "/a [b] c"}),
        ("source=[] name=x", {"source": "", "name": "x"}),
        ("flag other=false", {"flag": "true", "other": "false"}),
        ("  source=/a   name='b c'  ", {"source": "/a", "name": "b c"}),
        ("name=O'Brien's", {"name": "O'Brien's"}),
        ("name=100%25", {"name": "100%25"}),
        ("source=encoded:/a%5Db%20c%C3%A9 name=x", {"source": "/a]bcé".replace("bc", "b c"), "name": "x"}),
        ("", {}),
    ],
)
def test_options_are_read_as_imagej_writes_them(fiji: FijiProcess, text: str, options: dict[str, str]) -> None:
    assert parse(fiji, text) == options


def test_a_key_is_not_found_within_another_or_within_a_value(fiji: FijiProcess) -> None:
    """ImageJ's own look-up finds both."""
    text = "validation_source=/v name=[a source=/wrong b] source=/right"
    assert parse(fiji, text) == {"validation_source": "/v", "name": "a source=/wrong b", "source": "/right"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source=[/a", "brackets of the option 'source' do not pair"),
        ("source=[/a]b] name=x", "brackets of the option 'source' do not pair"),
        ("source=/a source=/b", "'source' is given twice"),
        ("source=encoded:/a%5", "not well encoded at '%5'"),
        ("source=encoded:100%", "not well encoded"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_remedy(fiji: FijiProcess, text: str, said: str) -> None:
    with pytest.raises(FijiError, match="option") as error:
        parse(fiji, text)
    assert said in str(error.value)


def test_whatever_is_quoted_comes_back(fiji: FijiProcess) -> None:
    letters = "ab []()%'\"\\&=:\n\té漢🔬\u00a0"
    generator = random.Random(7)
    values = ["", " ", "encoded:", "encoded:x", "&x", "'x'", "[", "]", "[]", "]["]
    values += ["".join(generator.choice(letters) for _ in range(generator.randint(1, 12))) for _ in range(400)]
    quoted = quote(fiji, values)
    text = " ".join(f"k{index}={value}" for index, value in enumerate(quoted))
    assert list(parse(fiji, text).values()) == values


def test_plain_values_are_quoted_readably(fiji: FijiProcess) -> None:
    assert quote(fiji, ["/data/a", "/data/a b", "128x128", ""]) == ["/data/a", "[/data/a b]", "128x128", "[]"]
