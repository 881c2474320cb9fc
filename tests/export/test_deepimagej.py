"""Models are put where DeepImageJ finds them, and nothing of others is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4fiji.errors import ConflictError, InputError, NotFoundError
from dl4fiji.export import deepimagej, install_in_fiji
from dl4fiji.export.bioimageio import read_rdf
from dl4fiji.export.package_check import check_package
from dl4fiji.export.replace import replace_folder, restore_folder
from tiny_models import exported, make_model


@pytest.fixture
def fiji(tmp_path: Path) -> Path:
    """The folders of a Fiji."""
    (tmp_path / "Fiji.app" / "plugins").mkdir(parents=True)
    return tmp_path / "Fiji.app"


def test_the_package_is_copied(fiji: Path) -> None:
    model = exported("plane")
    target = install_in_fiji(model, fiji)
    assert target == fiji / "models" / "plane"
    assert {file.name for file in target.iterdir()} == {file.name for file in model.package.iterdir()}
    assert (target / "rdf.yaml").read_bytes() == (model.package / "rdf.yaml").read_bytes()
    assert [entry.name for entry in (fiji / "models").iterdir()] == ["plane"]


def test_what_deepimagej_had_unpacked_goes(fiji: Path) -> None:
    target = install_in_fiji(exported("plane"), fiji)
    (target / "saved_model.pb").write_bytes(b"of the former export")
    (target / "variables").mkdir()
    install_in_fiji(exported("plane"), fiji)
    assert not (target / "saved_model.pb").exists()
    assert not (target / "variables").exists()


def test_another_model_of_that_name_is_kept(fiji: Path) -> None:
    (fiji / "models" / "plane").mkdir(parents=True)
    (fiji / "models" / "plane" / "rdf.yaml").write_text("id: somebody-elses\n")
    with pytest.raises(ConflictError, match="another model"):
        install_in_fiji(exported("plane"), fiji)
    assert (fiji / "models" / "plane" / "rdf.yaml").read_text() == "id: somebody-elses\n"
    (fiji / "models" / "plane" / "rdf.yaml").rename(fiji / "models" / "plane" / "notes.txt")
    with pytest.raises(ConflictError, match="another model"):
        install_in_fiji(exported("plane"), fiji)


def test_apple_silicon_gets_its_only_engine(fiji: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepimagej, "machine", lambda: "macosx-arm64")
    target = install_in_fiji(exported("plane"), fiji)
    assert read_rdf(target)["weights"]["tensorflow_saved_model_bundle"]["tensorflow_version"] == "2.7.0"
    assert all(finding.status == "good" for finding in check_package(target, thorough=False))


def test_what_is_no_fiji(tmp_path: Path, fiji: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no folder"):
        install_in_fiji(exported("plane"), tmp_path / "none")
    with pytest.raises(InputError, match="no folder of a Fiji"):
        install_in_fiji(exported("plane"), tmp_path)
    with pytest.raises(NotFoundError, match="no package yet"):
        install_in_fiji(make_model(tmp_path, name="fresh"), fiji)


def test_a_folder_is_replaced_at_once_or_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dl4fiji.export import replace

    for swaps in (True, False):
        if not swaps:
            monkeypatch.setattr(replace, "_exchange", lambda first, second: False)
        for name, text in (("new", "new"), ("folder", "old")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(text)
        replace_folder(tmp_path / "new", tmp_path / "folder")
        assert (tmp_path / "folder" / "file").read_text() == "new"
        assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
        (tmp_path / "folder").rename(tmp_path / ".folder.previous")
        restore_folder(tmp_path / "folder")
        assert (tmp_path / "folder" / "file").read_text() == "new"
        (tmp_path / "folder" / "file").unlink()
        (tmp_path / "folder").rmdir()
