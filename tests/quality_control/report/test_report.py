"""Reports of trained models of each kind, as page and as PDF."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pypdf
import pytest
from PIL import Image

from dl4fiji.errors import NotFoundError
from dl4fiji.files import read_json, write_json
from dl4fiji.model import ModelFolder
from dl4fiji.quality_control.report import write_evaluation_report, write_report
from dl4fiji.quality_control.report.html import policy_of
from dl4fiji.quality_control.report.subject import Evaluated, of_training
from tiny_trainings import KINDS, NASTY

SECTIONS = [
    "Warnings", "Example images", "How good it is", "Materials and methods", "Data and split",
    "Course of the training", "Options", "Engines of Fiji", "Software and hardware", "References",
]  # fmt: skip
_VOID = {"meta", "img", "br", "link"}

Trained = Callable[[str], ModelFolder]


class Page(HTMLParser):
    """What a page holds; closing tags must fit the opening ones."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[tuple[str, str]] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.handlers += [name] if name.startswith("on") else []
            if name in ("src", "href", "srcset", "data", "action", "poster", "style"):
                self.addresses.append((f"{tag}.{name}", value or ""))
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data
        if "style" not in self.open:
            self.text += data


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_leaves_its_report(kind: str, trained: Trained) -> None:
    model = trained(kind)
    text = model.report_html.read_text(encoding="utf-8")
    page = Page(text)
    assert page.headings == SECTIONS
    assert len(text.encode()) <= 5_000_000
    assert page.tags & {"script", "link", "iframe", "object", "base", "form"} == set()
    assert page.handlers == []
    for where, address in page.addresses:
        assert address.startswith({"img.src": "data:image/", "a.href": ("#", "https://doi.org/")}[where]), where
    assert NASTY in page.text
    assert "<b>Ada</b>" in page.text
    assert "<b>" not in text
    assert "tiny é (1): training report" in page.text
    assert len(re.findall(r"data:image/jpeg", text)) >= 2, "example images"

    document = pypdf.PdfReader(model.report_pdf)
    told = " ".join(part.extract_text() for part in document.pages).replace("\n", " ")
    assert len(document.pages) >= 2
    assert [entry.title for entry in document.outline] == SECTIONS
    for word in (*SECTIONS, "tiny é (1): training report", f"1 / {len(document.pages)}", "<b>Ada</b>"):
        assert word in told
    # Nothing is written twice: what the one says the other says, too.
    squeezed = re.sub(r"\s", "", told)
    for paragraph in re.findall(r'<p class="paste">(.*?)</p>', text, re.DOTALL):
        assert re.sub(r"\s", "", paragraph.replace("&#39;", "'").replace("&gt;", ">")) in squeezed


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("care-2d", ["5 pairs of images (64 × 72 pixels, 16-bit, pixel size 0.25 µm)", "3 further images, chosen at "
                     "random (seed 42), were kept aside", "2 epochs comprised 4 batches of 2 patches of 32 × 32 pixels",
                     "mean absolute error was minimized by the Adam optimizer (Kingma and Ba 2015)",
                     "learning rate of 0.002", "PSNR was", "dB for the input)", "n = 3 images",
                     "Error of prediction", "none alike"]),
        ("care-3d", ["(10 × 40 × 44 voxels, 16-bit", "8 × 16 × 16 voxels", "PSNR, mean of slices", "of 10, 44 × 40"]),
        ("noise2void-2d", ["No truth was at hand", "No prediction was compared with a truth", "masked MSE"]),
        ("unet-2d", ["images with their masks", "class-weighted cross-entropy", "at the threshold 0.5",
                     "Mean IoU of the images at all thresholds",
                     "Agreement: grey, found and true"]),
        ("stardist-2d", ["images with labeled objects", "36 true objects", "Figures at IoU thresholds from 0.5 to 0.95",
                         "0.95", "default thresholds", "binary cross-entropy of the object probabilities"]),
    ],
)  # fmt: skip
def test_the_report_tells_what_a_kind_of_network_needs(kind: str, words: list[str], trained: Trained) -> None:
    text = Page(trained(kind).report_html.read_text(encoding="utf-8")).text
    whole = text + trained(kind).report_html.read_text(encoding="utf-8")  # descriptions of pictures, too
    for word in words:
        assert word.lower() in whole.lower(), word


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_can_be_opened_and_show_something(kind: str, trained: Trained) -> None:
    text = trained(kind).report_html.read_text(encoding="utf-8")
    pictures = [base64.b64decode(found) for found in re.findall(r'src="data:image/[a-z]+;base64,([^"]+)"', text)]
    assert len(pictures) >= 3
    for content in pictures:
        image = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert image.shape[1] > 600
        assert image.std() > 10


def test_what_is_kept_of_the_images_is_true(trained: Trained) -> None:
    model = trained("care-2d")
    record = of_training(model).record
    assert [image.role for image in record.images].count("validation") == 3
    assert record.compared == (5, 3)
    assert record.fields == 3
    assert all(len(image.source.sha256) == 64 and image.source.bytes > 1000 for image in record.images)
    assert len({image.source.sha256 for image in record.images}) == 8
    assert {image.shape for image in record.images} == {(64, 72)}
    reasons = [example.reason for example in record.examples]
    assert reasons == ["the worst of 3 by SSIM", "the middle of 3 by SSIM", "the best of 3 by SSIM"]
    (_, panels), *_ = of_training(model).examples
    assert panels["prediction"].shape == panels["truth"].shape == panels["ssim of prediction"].shape == (64, 72)
    assert panels["ssim of prediction"].max() <= 1


def test_a_model_of_an_older_version_has_a_report(trained: Trained, tmp_path: Path) -> None:
    model = ModelFolder(tmp_path / "old")
    shutil.copytree(trained("care-2d").path, model.path)
    for file in ("record.json", "examples.npz", "history.csv", "request.json", "report.html", "report.pdf"):
        (model.path / file).unlink()
    content = read_json(model.info_file)
    content["training"] = {"images": "3 pairs"}
    content["quality"] = {"psnr": {"input": 20.25, "prediction": 25.5}}
    content["options"]["of_former_times"] = 3
    write_json(model.info_file, content)
    page, _ = write_report(model)
    text = Page(page.read_text(encoding="utf-8")).text
    for word in ("rises from 20.2 to 25.5 dB", "history of the training was not kept", "of_former_times", "CARE 2D"):
        assert word in text


def test_it_goes_where_it_is_wanted(trained: Trained, tmp_path: Path) -> None:
    page, document = write_report(trained("care-2d"), tmp_path / "new" / "place")
    assert page == tmp_path / "new" / "place" / "report.html"
    assert document.read_bytes().startswith(b"%PDF-")
    with pytest.raises(NotFoundError, match="There is no model 'none'"):
        write_report(ModelFolder(tmp_path / "none"))


def test_an_evaluation_goes_the_same_way(trained: Trained, tmp_path: Path) -> None:
    images = [
        {"name": f"well {n}.tif", "prediction": {"psnr": 30.0 + n, "ssim": 0.9}, "input": {"psnr": 25.0, "ssim": 0.95}}
        for n in range(120)
    ]
    quality = {
        "psnr": {"input": 25.0, "prediction": 89.5}, "ssim": {"input": 0.95, "prediction": 0.9}, "images": images,
    }  # fmt: skip
    evaluated = Evaluated("/data/<i>plate</i>", "/data/truth", "2026-01-02")
    page, _ = write_evaluation_report(
        trained("care-2d"), quality, evaluated, tmp_path, ["One file could not be read."], of_training(
            trained("care-2d")).examples,
    )  # fmt: skip
    text = Page(page.read_text(encoding="utf-8")).text
    assert "evaluation report" in text
    assert "judged on 120 images in /data/<i>plate</i>" in text
    assert "The metrics disagree: the prediction is better than the input by PSNR, but worse by SSIM" in text
    assert "One file could not be read." in text
    assert "The 40 worst and the 40 best of 120 images by PSNR" in text
    assert "89.50 ± 34.79" in text
    assert "well 41.tif" not in text
    assert "well 119.tif" in text


def test_the_page_is_served_with_a_policy_that_lets_nothing_run(trained: Trained) -> None:
    text = trained("care-2d").report_html.read_text(encoding="utf-8")
    policy = policy_of(text)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "sandbox" in policy
    own = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert own
    assert own.group(1).replace("&#39;", "'") in policy
