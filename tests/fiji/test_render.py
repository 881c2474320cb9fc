"""Rendered menu scripts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from dl4fiji.fiji import render
from dl4fiji.networks import NETWORKS, get
from dl4fiji.options import Size, TrainingOptions, option


class OddOptions(TrainingOptions):
    """Options with everything that is hard to write."""

    mode: Literal["a", "b"] = option("a", 'A "quoted" word, a \\ and (brackets).', advanced=True)
    rate: float = option(4e-4, "A small number.", unit="%")
    size: Size = option((16, 64), "A size.", unit="pixels")


def network(options: type[TrainingOptions] = OddOptions) -> Any:
    return SimpleNamespace(
        name="odd-2d", title="Odd 2D", description="It's odd.", task="restoration", data_form="paired", Options=options
    )


def line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.endswith(f") {name}"))


def test_rendered_scripts_are_up_to_date() -> None:
    assert render.main(["--check"]) == 0


def test_each_network_has_a_script_with_all_its_options() -> None:
    scripts = render.render()
    assert len(scripts) == len(NETWORKS)
    for network_, (path, text) in zip(NETWORKS, scripts.items(), strict=True):
        assert path == Path(f"Plugins/DL4Fiji/Train/{render.command(network_).replace(' ', '_')}.groovy")
        for name in network_.Options.model_fields:
            assert line(text, name)


def test_commands_of_other_plugins_keep_their_names() -> None:
    commands = {network_.name: render.command(network_) for network_ in NETWORKS}
    assert commands["care-2d"] == "CARE 2D"
    assert commands["stardist-2d"] == "DL4Fiji StarDist 2D"  # Fiji's StarDist plugin has a command StarDist 2D
    assert not any(command in ("StarDist 2D", "N2V train", "N2V predict") for command in commands.values())
    text = render.render_network(get("stardist-2d"))
    assert 'run("DL4Fiji StarDist 2D", ' in text
    assert ".train(this, 'stardist-2d', 'DL4Fiji StarDist 2D', " in text


def test_help_unit_default_and_kind_come_from_the_options() -> None:
    text = render.render_network(network())
    assert r'description="A \"quoted\" word, a \\ and (brackets)."' in line(text, "mode")
    assert 'kind="choice"' in line(text, "mode")
    assert 'options="a|b"' in line(text, "mode")
    assert 'kind="number", fallback="0.0004", unit="%"' in line(text, "rate")
    assert 'kind="text", fallback="16x64"' in line(text, "size")
    assert 'kind="boolean", fallback="false"' in line(text, "augmentation")
    assert 'kind="integer", fallback="100"' in line(text, "epochs")
    assert "'It\\'s odd.'" in text


def test_advanced_options_come_below_the_usual_ones() -> None:
    text = render.render_network(network())
    assert text.index(line(text, "mode")) > text.index(line(text, "wait")) > text.index(line(text, "rate"))
    assert "advanced=true" in line(text, "mode")
    assert "advanced=true" not in line(text, "rate")


def test_an_option_named_as_a_common_input_is_refused() -> None:
    class Clash(TrainingOptions):
        source: str = option("", "A name that is taken.")

    with pytest.raises(ValueError, match="odd-2d has options that are inputs of every network: source"):
        render.render_network(network(Clash))


def test_stale_missing_and_orphaned_scripts_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "scripts_folder", lambda: tmp_path)
    assert render.main(["--check"]) == 1
    assert render.main([]) == 0
    assert render.main(["--check"]) == 0
    file = tmp_path / next(iter(render.render()))
    file.write_text(file.read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    assert render.main(["--check"]) == 1
    assert f"{file} is stale: run make scripts" in capsys.readouterr().err
    assert render.main([]) == 0
    (file.parent / "Gone_2D.groovy").write_text("", encoding="utf-8")
    assert render.main(["--check"]) == 1
    assert "belongs to no network" in capsys.readouterr().err


def test_scripts_are_plain_ascii_up_to_their_code() -> None:
    """SciJava reads scripts in the system's encoding where it is given a file."""
    for path, text in render.render().items():
        assert text.isascii(), path


def test_networks_that_learn_from_masks_ask_for_masks() -> None:
    text = render.render_network(get("unet-3d"))
    assert 'label="Images"' in text
    assert 'label="Masks"' in text
    assert "clean" not in text
    assert "source=[/data/images] target=[/data/masks]" in text
