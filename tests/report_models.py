"""A model on the disk with a report's worth of records, named so that careless pages would run the names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.files import write_json, write_text
from dl4fiji.home import Home
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.networks import get
from dl4fiji.quality_control.record import ExampleRecord, FileRecord, ImageRecord, Record

NASTY = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>\'"]</style><style>*{color:red}'
NAME = "my cells (2)"


def make_reported(home: Home, name: str = NAME) -> ModelFolder:
    """Put a model on the disk whose files, authors and warnings are named so that they would run."""
    folder = ModelFolder(home.models / name)
    folder.path.mkdir(parents=True)
    files = [FileRecord(name=NASTY, bytes=2000, sha256="ab" * 32)] * 2
    images = tuple(
        ImageRecord(
            name=f"{NASTY} {n}", role=role, axes="YX", shape=(64, 64), type="uint16", source=files[0], target=files[1]
        )
        for n, role in enumerate(("training", "training", "validation"))
    )
    example = ExampleRecord(name=f"{NASTY} 2", reason=NASTY, panels=("input", "prediction", "truth"))
    write_json(folder.record_file, Record(images=images, examples=(example,)).model_dump(mode="json"))
    picture = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    np.savez(folder.examples_file, **{f"0.{panel}": picture for panel in example.panels})
    rows = "".join(f"{n},{1 / n},{1.1 / n},0.0004,2.5\n" for n in range(1, 13))
    write_text(folder.history_file, f"epoch,loss,val_loss,learning_rate,seconds\n{rows}")
    figures = {"psnr": 30.0, "ssim": 0.9}
    quality: dict[str, Any] = {name: {"input": value - 0.1, "prediction": value} for name, value in figures.items()}
    quality["images"] = [{"name": f"{NASTY} 2", "prediction": figures, "input": {"psnr": 29.0, "ssim": 0.8}}]
    network = get("care-2d")
    folder.write(
        ModelInfo(
            name=name, network=network.name, options=network.Options().model_dump(mode="json"), axes="YXC",
            channels_in=1, channels_out=1, normalization=PercentileNormalization(), created=datetime.now(UTC),
            quality=quality, warnings=[NASTY], authors=[NASTY],
            training={"training_images": 2, "validation_images": 1, "start_from": NASTY, "device": NASTY, "epochs": 12,
                      "versions": {NASTY: NASTY}},
        )
    )  # fmt: skip
    return folder
