"""The embedded ImageJ: scripts, macros, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fiji_process import FijiError, FijiProcess

pytestmark = pytest.mark.jvm


def test_the_user_is_told_that_it_is_the_embedded_imagej(fiji: FijiProcess) -> None:
    note = "No Fiji was given (--app): this is the embedded ImageJ, which runs the same commands and macros."
    assert fiji.notes == [note]


def test_the_versions_are_those_of_fiji(fiji: FijiProcess) -> None:
    assert fiji.groovy("ij.ImageJ.VERSION") == "1.54p"
    assert fiji.groovy("java.awt.GraphicsEnvironment.isHeadless() as String") == "true"


def test_macros_take_an_argument_and_return_a_value(fiji: FijiProcess) -> None:
    assert fiji.run_macro('return "[" + getArgument() + "]";', 'a "b" é') == '[a "b" é]'
    assert fiji.run_macro("x = 1;") == ""


def test_macro_files_are_read_as_utf8(fiji: FijiProcess, tmp_path: Path) -> None:
    file = tmp_path / "é.ijm"
    file.write_text('return "漢é";', encoding="utf-8")
    assert fiji.run_macro(str(file)) == "漢é"
    file.write_bytes(b'return "\xe9";')  # Latin-1, as ImageJ itself reads
    assert fiji.run_macro(str(file)) == "é"


def test_commands_of_imagej_run_without_windows(fiji: FijiProcess) -> None:
    macro = """
        newImage("a", "8-bit ramp", 64, 64, 1); run("Invert"); run("32-bit"); run("Fire");
        run("Gaussian Blur...", "sigma=2"); return getTitle() + bitDepth() + " " + (getPixel(0, 0) > 240);
    """
    assert fiji.run_macro(macro) == "a32 1"


def test_an_opened_image_is_known_to_macros(fiji: FijiProcess, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", np.zeros((3, 8, 9), np.uint8), imagej=True)
    assert fiji.open(str(tmp_path / "cells.tif")) == "cells.tif"
    assert fiji.run_macro('selectImage("cells.tif"); return "" + getWidth() + " " + nSlices;') == "9 3"


def test_scripts_return_their_outputs(fiji: FijiProcess) -> None:
    outputs = fiji.run_script("Service/DL4Fiji_Settings")
    assert outputs["home"] == str(fiji.home.root)
    assert outputs["error"] == ""
    assert fiji.run_script("Help")["error"] == ""


@pytest.mark.parametrize(
    ("call", "arguments", "kind", "said"),
    [
        ("run_script", ("Train/Nothing",), "InputError", "There is no menu script 'Train/Nothing': there are DL4"),
        ("run_script", ("Train/CARE_2D", {"sauce": 1}), "InputError", "CARE_2D.groovy has no input sauce"),
        ("run_script", ("Train/CARE_2D",), "DL4FijiError", "CARE 2D needs source and target"),
        ("run_macro", ("/none/such.ijm",), "InputError", "There is no macro /none/such.ijm"),
        ("run_macro", ('run("Nothing");',), "DL4FijiError", "The embedded ImageJ has no command 'Nothing'"),
        ("run_macro", ('run("CARE 2D", "epoch=3");',), "DL4FijiError", "no option 'epoch': did you mean 'epochs'?"),
        ("run_macro", ('run("CARE 2D", "source=[/a");',), "DL4FijiError", "brackets of the option 'source' do not"),
        (
            "run_macro",
            ('newImage("a", "8-bit ramp", 9, 9, 1); run("Duplicate...", "title=b");',),
            "DL4FijiError",
            "The command 'Duplicate...' needs windows in the embedded ImageJ",
        ),
        ("run_macro", ("x = parseInt(;",), "DL4FijiError", "The macro was ended by an error"),
        ("open", ("/none/such.tif",), "InputError", "ImageJ cannot open /none/such.tif"),
    ],
)
def test_errors_are_one_sentence(fiji: FijiProcess, call: str, arguments: tuple, kind: str, said: str) -> None:
    with pytest.raises(FijiError) as error:
        getattr(fiji, call)(*arguments)
    assert error.value.kind == kind
    assert said in str(error.value)
    assert not any(line.lstrip().startswith("at ") for line in fiji.printed), fiji.printed


def test_an_error_ends_the_macro(fiji: FijiProcess) -> None:
    with pytest.raises(FijiError):
        fiji.run_macro('print("before"); run("CARE 2D", "epoch=3"); print("after");')
    assert "before" in fiji.printed
    assert "after" not in fiji.printed


def test_the_library_is_compiled_once(fiji: FijiProcess) -> None:
    code = "System.identityHashCode(ij.IJ.getProperty('dl4fiji.commands'))"
    first = fiji.groovy(code)
    fiji.run_script("Help")
    assert fiji.groovy(code) == first
