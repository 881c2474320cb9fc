"""The commands of the menu against a real service: jobs, errors, a training and its predictions."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dl4fiji.client import ServiceClient
from dl4fiji.data.image import open_image
from dl4fiji.errors import ServiceError
from dl4fiji.jobs.job import JobState
from fiji_process import FijiError, FijiProcess
from serving import wait_until

pytestmark = pytest.mark.jvm

TINY = "steps_per_epoch=2 batch_size=2 patch_size=32x32 patches_per_image=4 depth=1 kernel_size=3 first_filters=4"


@pytest.fixture
def client(fiji: FijiProcess) -> Iterator[ServiceClient]:
    """A client of the service that the scripts use."""
    with ServiceClient.connect(fiji.home) as client:
        yield client


def self_test(client: ServiceClient, **values: object) -> str:
    return client.submit({"kind": "selftest", "seconds": 1, "steps": 10, **values}).id


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``noisy [x`` and ``clean`` with three planes each, and ``stack`` files with the same as a recording."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    clean = np.zeros((3, 64, 72), np.float32)
    for plane in clean:
        for y, x in generator.integers(6, 56, (12, 2)):
            plane[y - 4 : y + 5, x - 4 : x + 5] += generator.uniform(200, 900)
    noisy = generator.poisson(clean / 8 + 4).astype(np.uint16)
    for name, stack in (("noisy [x", noisy), ("clean", clean.astype(np.uint16))):
        (folder / name).mkdir()
        for index, plane in enumerate(stack):
            tifffile.imwrite(folder / name / f"field {index}.tif", plane, imagej=True)
        tifffile.imwrite(
            folder / f"{name} stack.tif", stack, imagej=True, resolution=(4, 4), metadata={"axes": "TYX", "unit": "um"}
        )
    return folder


def test_a_running_job_is_watched_to_its_end(fiji: FijiProcess, client: ServiceClient) -> None:
    job = self_test(client, epochs=3)
    outputs = fiji.run_script("Jobs/Monitor_Job", {"job": job})
    assert (outputs["state"], outputs["error"]) == ("COMPLETE", "")
    assert client.job(job).state == JobState.COMPLETE
    assert "Warning: This is a test without a network." in fiji.printed
    assert any(line.startswith("Self-test of 1 s is complete") for line in fiji.printed)


def test_a_macro_reads_what_came_out(fiji: FijiProcess, client: ServiceClient) -> None:
    job = self_test(client)
    macro = 'run("Monitor Job", "job=" + getArgument()); return getInfo("dl4fiji.job") + getInfo("dl4fiji.state");'
    assert fiji.run_macro(macro, job) == f"{job}COMPLETE"


def test_the_newest_job_is_taken_where_none_is_named(fiji: FijiProcess, client: ServiceClient) -> None:
    self_test(client)
    newest = self_test(client, seconds=30, steps=300)
    fiji.run_macro('run("Cancel Job", "");')
    wait_until(lambda: client.job(newest).state == JobState.CANCELED, 15, "the cancel")


def test_a_canceled_job_is_resumed(fiji: FijiProcess, client: ServiceClient) -> None:
    job = self_test(client, seconds=2)
    fiji.run_script("Jobs/Cancel_Job", {"job": job})
    wait_until(lambda: client.job(job).state == JobState.CANCELED, 15, "the cancel")
    outputs = fiji.run_script("Jobs/Resume_Job", {"job": job, "wait": True})
    assert outputs["state"] == "COMPLETE"


@pytest.mark.parametrize(("how", "said"), [("input", "leave out `fail`"), ("kill", "")])
def test_a_failed_job_ends_the_macro_with_its_sentence(
    fiji: FijiProcess, client: ServiceClient, how: str, said: str
) -> None:
    job = self_test(client, fail=how)
    with pytest.raises(FijiError) as error:
        fiji.run_macro('run("Monitor Job", "job=" + getArgument()); print("after");', job)
    assert said in str(error.value)
    assert str(error.value) == client.job(job).error
    assert "after" not in fiji.printed


def test_unknown_jobs_and_models_are_said(fiji: FijiProcess) -> None:
    with pytest.raises(FijiError, match="There is no job 'none'"):
        fiji.run_script("Jobs/Monitor_Job", {"job": "none"})
    more = {
        "Models/Install_Model_in_Fiji": {"fiji": "/"},
        "Models/Open_Model_Folder": {},
        "Models/Open_Report": {},
        "Predict": {"source": "/"},
    }
    for script, inputs in more.items():
        with pytest.raises(FijiError, match="There is no model 'none'"):
            fiji.run_script(script, {"model": "none", **inputs})


@pytest.mark.parametrize(("plugin", "zip_name"), [("CSBDeep", "m.csbdeep.zip"), ("StarDist", "m.stardist.zip")])
def test_plugins_that_are_not_there_and_what_they_cannot_run_are_said(
    fiji: FijiProcess, tmp_path: Path, plugin: str, zip_name: str
) -> None:
    script, inputs = f"Models/Run_with_{plugin}", {"model": str(tmp_path), "source": "/a.tif"}
    with pytest.raises(FijiError, match=f"Run with {plugin} needs a model and an image"):
        fiji.run_script(script, {"model": str(tmp_path)})
    with pytest.raises(FijiError, match=f"is no folder of a model for {plugin}"):
        fiji.run_script(script, inputs)
    with zipfile.ZipFile(tmp_path / zip_name, "w") as archive:
        archive.writestr("meta.json", '{"axes_div_by": [4, 4, 1], "tile_overlap": [32, 32, 0], "image_units": true}')
    (tmp_path / "model.json").write_text('{"name": "m", "normalization": {"kind": "fixed"}, "thresholds": {}}')
    with pytest.raises(FijiError, match=f"The {plugin} plugin is not in this Fiji: add the update site {plugin}"):
        fiji.run_script(script, inputs)
    if plugin == "StarDist":
        with pytest.raises(FijiError, match="The option 'nms' is '1,5' but must be a number from 0 to 1"):
            fiji.run_script(script, {**inputs, "nms": "1,5"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("source={noisy} target=/none/such", "The target /none/such does not exist"),
        ("source={noisy} target={clean} epochs=0", "'epochs'"),
        ("source={noisy} target={clean} epochs=many", "'epochs'"),
        ("source={noisy} target={clean} augmentation=perhaps", "'augmentation'"),
        ("source={noisy} target={clean} wait=perhaps", "The option 'wait' is 'perhaps' but must be true or false."),
        ("source={noisy} target={clean} name=a/b", "cannot be the name of a model"),
        ("source=relative target={clean}", "must be an absolute path"),
        ("source={noisy} target={clean} start_from=[no such model]", "There is no model 'no such model' to start from"),
        (
            "source={noisy} target={clean} start_from=[https://host/a.zip?x=1&y=2#sha256=12]",
            "of https://host/a.zip?… is",
        ),
    ],
)
def test_bad_input_starts_nothing(
    fiji: FijiProcess, client: ServiceClient, images: Path, options: str, said: str
) -> None:
    before = len(client.jobs())
    paths = {"noisy": f"encoded:{images}/noisy%20%5Bx", "clean": images / "clean"}
    with pytest.raises(FijiError) as error:
        fiji.run_macro('run("CARE 2D", getArgument());', f"{options.format(**paths)} patch_size=32x32 depth=2")
    assert said in str(error.value)
    assert len(client.jobs()) == before


def test_two_open_images_of_one_title_are_refused(fiji: FijiProcess, images: Path) -> None:
    macro = """
        newImage("same", "8-bit", 64, 64, 1); newImage("same", "8-bit", 64, 64, 1); rename("same");
        run("CARE 2D", "source=same target=same");
    """
    with pytest.raises(FijiError, match="2 open images are called 'same': rename one"):
        fiji.run_macro(macro)
    fiji.run_macro('run("Close All");')


def test_unequal_open_images_are_refused_by_name(fiji: FijiProcess, client: ServiceClient) -> None:
    macro = """
        newImage("noisy cells", "16-bit ramp", 64, 64, 4); newImage("clean cells", "16-bit ramp", 64, 64, 3);
        run("CARE 2D", "source=[noisy cells] target=[clean cells]");
    """
    with pytest.raises(FijiError) as error:
        fiji.run_macro(macro)
    assert all(name in str(error.value) for name in ("clean cells.tif", "noisy cells.tif"))
    fiji.run_macro('run("Close All");')


def test_training_on_a_folder_then_predicting_and_installing(
    fiji: FijiProcess, client: ServiceClient, images: Path, repository: Path, tmp_path: Path
) -> None:
    """The macros that lie in the repository, from training to the model in Fiji's folder."""
    macros = repository / "fiji-scripts" / "macros"
    arguments = f"source=[{images}/noisy [x] target=[{images}/clean] name=[tiny é] epochs=2 more=[{TINY}]"
    folder = fiji.run_macro(str(macros / "train_on_a_folder.ijm"), arguments)
    assert Path(folder) == fiji.home.root / "models" / "tiny é"
    assert any("3 pairs 64×72" in line for line in fiji.printed)
    assert any(line.startswith("PSNR (dB) of the prediction") for line in fiji.printed)
    options = client.model("tiny é")["options"]
    assert (options["epochs"], options["patch_size"], options["batch_size"]) == (2, "32x32", 2)

    output = tmp_path / "restored"
    count = fiji.run_macro(
        str(macros / "predict_a_folder.ijm"), f"model=[tiny é] source=[{images}/noisy [x] output=[{output}]"
    )
    assert count == "3"
    assert sorted(file.name for file in output.glob("*.tif")) == [f"field {index}.tif" for index in range(3)]

    app = tmp_path / "Fiji.app"
    (app / "jars").mkdir(parents=True)
    (app / "plugins").mkdir()
    outputs = fiji.run_script("Models/Install_Model_in_Fiji", {"model": "tiny é", "fiji": str(app)})
    assert outputs["folder"] == str(app / "models" / "tiny é")
    assert (app / "models" / "tiny é" / "rdf.yaml").is_file()
    assert fiji.run_script("Models/Open_Model_Folder", {"model": "tiny é"})["folder"] == folder
    report = Path(fiji.run_script("Models/Open_Report", {"model": "tiny é"})["report"])
    assert report == Path(folder) / "report.html"
    report.unlink()
    macro = 'run("Open Report", "model=[tiny é]"); return getInfo("dl4fiji.report");'
    assert fiji.run_macro(macro) == str(report), "made again"
    assert "tiny é: training report" in report.read_text(encoding="utf-8")

    again = {"source": str(images / "noisy [x"), "target": str(images / "clean"), "name": "tiny é", "patch_size": 32}
    with pytest.raises(FijiError, match="There is a model named 'tiny é' already"):
        fiji.run_script("Train/CARE_2D", {**again, "depth": 1})

    fiji.open(str(images / "noisy [x stack.tif"))
    outputs = fiji.run_script("Predict", {"model": "tiny é", "source": "noisy [x stack.tif"})
    result = open_image(outputs["files"])
    assert (result.axes, result.shape, result.metadata.unit) == ("TYX", (3, 64, 72), "µm")
    fiji.run_macro('run("Close All");')


def test_open_images_are_handed_over_with_their_calibration(
    fiji: FijiProcess, client: ServiceClient, images: Path
) -> None:
    for name in ("noisy [x", "clean"):
        fiji.open(str(images / f"{name} stack.tif"))
    fiji.run_macro(
        'run("CARE 2D", getArgument());',
        "source=encoded:noisy%20%5Bx%20stack.tif target=[clean stack.tif] patch_size=32x32 epochs=5000 wait=false",
    )
    job = client.jobs()[0]
    client.cancel(job.id)
    assert job.request["name"] == "noisy x stack CARE 2D"
    source, target = (open_image(job.request["data"][name]) for name in ("source", "target"))
    assert [image.path.name for image in (source, target)] == ["noisy _x stack.tif", "clean stack.tif"]
    assert fiji.home.inbox in source.path.parents
    assert (source.axes, source.metadata.unit) == ("TYX", "µm")
    assert source.metadata.pixel_size["X"] == pytest.approx(0.25)
    np.testing.assert_array_equal(source.read(), tifffile.imread(images / "noisy [x stack.tif"))
    fiji.run_macro('run("Close All");')
    wait_until(lambda: client.job(job.id).state.ended, 30, "the cancel")


@pytest.mark.nightly
def test_the_macro_that_trains_on_open_images(
    fiji: FijiProcess, client: ServiceClient, images: Path, repository: Path
) -> None:
    macro = repository / "fiji-scripts" / "macros" / "train_on_open_images.ijm"
    arguments = f"noisy=[{images}/noisy [x stack.tif] clean=[{images}/clean stack.tif] epochs=2 more=[{TINY}]"
    folder = Path(fiji.run_macro(str(macro), arguments))
    assert folder.name == "noisy x stack CARE 2D"
    assert client.model(folder.name)["pixel_size"]["X"] == pytest.approx(0.25)
    fiji.run_macro('run("Close All");')


def test_without_waiting_the_command_ends_at_once(fiji: FijiProcess, client: ServiceClient, images: Path) -> None:
    outputs = fiji.run_script(
        "Train/CARE_2D",
        {
            "source": str(images / "noisy [x"),
            "target": str(images / "clean"),
            "name": "endless",
            "epochs": 5000,
            "patch_size": "32x32",
            "wait": False,
        },
    )
    assert outputs["state"] in ("QUEUED", "RUNNING")
    assert outputs["model"] == "endless"
    client.cancel(outputs["job"])
    wait_until(lambda: client.job(outputs["job"]).state == JobState.CANCELED, 30, "the cancel")


def test_a_service_that_is_away_is_started_again(fiji: FijiProcess, client: ServiceClient) -> None:
    fiji.run_script("Service/Stop_DL4Fiji_Service")
    wait_until(lambda: not fiji.home.service_file.exists() or not alive(fiji), 15, "the service's end")
    outputs = fiji.run_script("Service/Start_DL4Fiji_Service")
    with ServiceClient.connect(fiji.home, start=False) as fresh:
        assert fresh.url == outputs["url"]


def alive(fiji: FijiProcess) -> bool:
    try:
        with ServiceClient.connect(fiji.home, start=False):
            return True
    except ServiceError:
        return False
