"""Putting the menu into a Fiji that users start by themselves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from dl4fiji.errors import SetupError
from dl4fiji.fiji import scripts
from dl4fiji.fiji.scripts import install, is_installed, scripts_folder
from dl4fiji.home import Home


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of a Fiji with a script and a macro of somebody else."""
    folder = tmp_path / "Fiji é.app"
    for name in ("jars", "plugins", "macros", "scripts/Plugins/Other"):
        (folder / name).mkdir(parents=True)
    (folder / "jars" / "imagej-legacy-2.0.2.jar").touch()
    (folder / "macros" / "mine.ijm").write_text("print(1);", encoding="utf-8")
    (folder / "scripts" / "Plugins" / "Other" / "Their_Script.groovy").write_text("1", encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_scripts_library_macros_and_this_python_are_there(app: Path, home: Home) -> None:
    before = contents(app)
    files = install(app)
    after = contents(app)
    assert {str(file) for file in files} == set(after) - set(before)
    assert (app / "scripts/Plugins/DL4Fiji/Train/CARE_2D.groovy").is_file()
    assert (app / "dl4fiji/load.groovy").is_file()
    assert (app / "dl4fiji/dl4fiji/Commands.groovy").is_file()
    assert (app / "macros/DL4Fiji/train_on_a_folder.ijm").is_file()
    record = json.loads((app / "dl4fiji/install.json").read_text(encoding="utf-8"))
    assert (record["python"], record["home"]) == (sys.executable, str(home.root))
    assert is_installed(app)
    assert {name: after[name] for name in before} == before


def test_installing_again_changes_nothing(app: Path, home: Home) -> None:
    install(app)
    before, times = contents(app), (app / "dl4fiji/load.groovy").stat().st_mtime_ns
    install(app)
    assert contents(app) == before
    assert (app / "dl4fiji/load.groovy").stat().st_mtime_ns == times


def test_what_an_earlier_version_left_goes_but_not_what_the_user_changed(
    app: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tmp_path / "earlier"
    for name, text in {
        "library/load.groovy": "old", "Plugins/DL4Fiji/Old/Gone_Command.groovy": "old", "macros/gone.ijm": "old",
        "macros/changed.ijm": "old",
    }.items():  # fmt: skip
        (earlier / name).parent.mkdir(parents=True, exist_ok=True)
        (earlier / name).write_text(text, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(scripts, "scripts_folder", lambda: earlier)
        install(app)
    (app / "macros/DL4Fiji/changed.ijm").write_text("mine now", encoding="utf-8")
    install(app)
    assert not (app / "scripts/Plugins/DL4Fiji/Old").exists()
    assert not (app / "macros/DL4Fiji/gone.ijm").exists()
    assert (app / "macros/DL4Fiji/changed.ijm").read_text(encoding="utf-8") == "mine now"
    assert (app / "dl4fiji/load.groovy").read_bytes() == (scripts_folder() / "library/load.groovy").read_bytes()
    assert (app / "scripts/Plugins/Other/Their_Script.groovy").is_file()


def test_a_file_of_somebody_else_under_our_name_is_left_alone(app: Path, home: Home) -> None:
    theirs = app / "scripts/Plugins/DL4Fiji/Train/CARE_2D.groovy"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs", encoding="utf-8")
    before = contents(app)
    with pytest.raises(SetupError, match="is not from DL4Fiji: move it away"):
        install(app)
    assert contents(app) == before


@pytest.mark.parametrize("inside", ["Fiji.app", "Contents/Fiji.app"])
def test_the_folder_around_is_understood(app: Path, home: Home, tmp_path: Path, inside: str) -> None:
    outer = tmp_path / "outer" / inside
    outer.parent.mkdir(parents=True)
    app.rename(outer)
    install(tmp_path / "outer")
    assert is_installed(outer)


def test_a_folder_that_is_no_fiji_is_refused(tmp_path: Path, home: Home) -> None:
    with pytest.raises(SetupError, match="There is no folder"):
        install(tmp_path / "none")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SetupError, match="is not the folder of a Fiji"):
        install(tmp_path / "pictures")
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_refused(app: Path, home: Home) -> None:
    app.chmod(0o555)
    try:
        with pytest.raises(SetupError, match="cannot be written"):
            install(app)
    finally:
        app.chmod(0o755)


def test_a_disk_that_refuses_is_told_in_a_sentence(app: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (app / "dl4fiji").touch()  # a file where the folder must be
    with pytest.raises(SetupError, match="cannot be written"):
        install(app)


def test_a_damaged_record_is_told(app: Path, home: Home) -> None:
    install(app)
    (app / "dl4fiji/install.json").write_text("{", encoding="utf-8")
    with pytest.raises(SetupError, match=r"install\.json is damaged: remove the folder"):
        install(app)
    (app / "dl4fiji/install.json").write_text('{"files": {"../../outside": "x"}}', encoding="utf-8")
    outside = app.parents[1] / "outside"
    outside.touch()
    install(app)
    assert outside.exists()
    outside.unlink()
