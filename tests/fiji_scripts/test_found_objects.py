"""Objects in Fiji: the command Predict with a network that finds objects, and what ImageJ makes of its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.data.image import open_image
from dl4fiji.data.writer import write_image
from fiji_process import FijiError, FijiProcess
from tiny_models import make_model, smooth

pytestmark = pytest.mark.jvm

MODEL = "finds objects"


@pytest.fixture(scope="module")
def model(fiji: FijiProcess) -> str:
    """StarDist 2D among the models of the service that the scripts use; not exported, so TensorFlow runs it."""
    make_model(fiji.home.models, "stardist-2d", name=MODEL)
    return MODEL


@pytest.fixture(scope="module")
def found(fiji: FijiProcess, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what a macro found in two frames, which were open."""
    folder = tmp_path_factory.mktemp("found")
    write_image(folder / "cells.tif", np.stack([smooth(60, 70), smooth(60, 70, seed=1)]), "TYX")
    fiji.open(str(folder / "cells.tif"))
    macro = """
        run("DL4Fiji Predict", "model=[finds objects] source=cells.tif output=[" + getArgument() + "]");
        return getInfo("dl4fiji.objects") + " " + Overlay.size;
    """
    count, outlines = fiji.run_macro(macro, str(folder / "out")).split()
    assert int(count) == int(outlines) > 10
    assert any(line.endswith("objects in cells.tif") and line.startswith(count) for line in fiji.printed)
    fiji.run_macro('run("Close All");')
    return folder / "out"


def test_a_macro_gets_label_image_rois_and_table(found: Path) -> None:
    assert sorted(file.name for file in found.iterdir()) == ["cells.tif", "cells_objects.csv", "cells_rois.zip"]


def test_imagej_opens_the_labels_as_they_are(fiji: FijiProcess, found: Path) -> None:
    code = """
        def image = ij.IJ.openImage(given.path)
        def sums = (1..2).collect { t -> image.getStack().getProcessor(t).pixels.collect { it & 0xffff }.sum() }
        return "$image.bitDepth $image.NFrames ${image.displayRangeMax as int} $sums"
    """
    labels = open_image(found / "cells.tif").read()
    expected = f"16 2 {labels.max()} {[int(plane.sum()) for plane in labels]}"
    assert fiji.groovy(code, path=str(found / "cells.tif")) == expected


def test_outlines_lie_on_their_labels(fiji: FijiProcess, found: Path) -> None:
    """ImageJ's own masks of the ROIs cover the labels that their names tell, in the frames that they tell."""
    code = """
        def image = ij.IJ.openImage(given.path)
        def covered = new dl4fiji.FoundObjects(new File(given.path)).outlines().collect { roi ->
            image.setT(roi.position ?: roi.TPosition)
            int label = roi.name.split('-')[2] as int
            def inside = roi.containedPoints.collect { image.getProcessor().getPixel(it.x as int, it.y as int) }
            [inside.count { it == label }, inside.count { 0 < it && it < label }, inside.size(), roi.position]
        }
        return groovy.json.JsonOutput.toJson(covered)
    """
    covered = json.loads(fiji.groovy(code, path=str(found / "cells.tif")))
    assert {row[-1] for row in covered} == {1, 2}
    own, above, inside = (sum(row[index] for row in covered) for index in (0, 1, 2))
    # Where objects overlap the more probable one, whose number is lower, has the pixels.
    assert own > 0.7 * inside
    assert own + above > 0.95 * inside


def test_imagej_reads_the_table(fiji: FijiProcess, found: Path) -> None:
    code = """
        def table = ij.measure.ResultsTable.open(given.path)
        return [table.size(), table.headings.join(' '), table.getValue('label', 0) as int].join('|')
    """
    rows = (found / "cells_objects.csv").read_text(encoding="utf-8").splitlines()
    size, headings, first = fiji.groovy(code, path=str(found / "cells_objects.csv")).split("|")
    assert int(size) == len(rows) - 1
    assert rows[0].replace(",", " ") in headings
    assert first == "1"


def test_labels_are_colored_and_nothing_is_black(fiji: FijiProcess) -> None:
    code = """
        def image = ij.IJ.createImage('labels', '16-bit black', 8, 8, 1)
        dl4fiji.FoundObjects.colored(image, 40)
        def lut = image.getProcessor().lut
        def colors = (1..255).collect { lut.getRGB(it) & 0xffffff }
        boolean bright = colors.every { (it >> 16) + ((it >> 8) & 0xff) + (it & 0xff) > 150 }
        return "${lut.getRGB(0) & 0xffffff} ${colors.toSet().size()} $bright"
    """
    black, different, bright = fiji.groovy(code).split()
    assert (black, bright) == ("0", "true")
    assert int(different) > 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("probability_threshold=2", "probability_threshold"),
        ("nms_threshold=much", "nms_threshold"),
        ("overlap=0.3", "has no option 'overlap'"),
    ],
)
def test_thresholds_are_checked(fiji: FijiProcess, found: Path, model: str, options: str, said: str) -> None:
    source = found.parent / "cells.tif"
    with pytest.raises(FijiError) as error:
        fiji.run_macro('run("DL4Fiji Predict", getArgument());', f"model=[{model}] source=[{source}] {options}")
    assert said in str(error.value)
