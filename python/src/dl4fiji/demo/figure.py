"""The demo's picture: input, prediction and truth side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dl4fiji.files import atomic_path


def draw(path: Path, images: dict[str, np.ndarray], captions: dict[str, str]) -> None:
    """Draw YX ``images`` side by side, each with its caption, in one common grey scale.

    Parameters
    ----------
    path
        The PNG to write.
    images
        Title → image; the last one (the truth) sets the grey scale by its percentiles 0.1 and 99.9.
    captions
        Title → figures to show below the title.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    truth = list(images.values())[-1]
    low, high = np.percentile(truth, [0.1, 99.9])
    height, width = truth.shape
    figure = Figure(figsize=(2.6 * len(images), 2.6 * height / width + 0.7), layout="constrained")
    for axes, (title, image) in zip(figure.subplots(1, len(images)), images.items(), strict=True):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(f"{title}\n{captions.get(title, '')}", fontsize=10)
        axes.axis("off")
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=160)
