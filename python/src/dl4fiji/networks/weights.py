"""Keras weights in HDF5 files, read as plain arrays: nothing in the file is run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from dl4fiji.archive import LARGEST_WEIGHTS
from dl4fiji.errors import InputError


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer, in Keras' order (kernel, bias, …)."""

    name: str
    arrays: tuple[np.ndarray, ...]

    @property
    def shapes(self) -> str:
        """The shapes for people, e.g. ``3×3×1×32 + 32``."""
        return format_shapes([array.shape for array in self.arrays])


def format_shapes(shapes: list[tuple[int, ...]]) -> str:
    """Return shapes for people, e.g. ``3×3×1×32 + 32``."""
    return " + ".join("×".join(map(str, shape)) or "1" for shape in shapes)


def read_weights(file: Path | IO[bytes], title: str = "") -> list[LayerWeights]:
    """Read a Keras weights file (``save_weights``) or the weights of a whole model (``save``).

    Parameters
    ----------
    file
        The HDF5 file, by path or open.
    title
        What errors call it; the path by default.

    Raises
    ------
    InputError
        If it is no such file, or has links to other files.
    """
    title = title or str(file)
    try:
        with h5py.File(file, "r") as root:
            _refuse_links(root, title)
            _refuse_code(root, title)
            group: Any = root.get("model_weights", root)
            layers = [_read_layer(group, _text(name)) for name in group.attrs["layer_names"]]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{title} has no Keras weights ({error}): choose a model folder or a package.") from error
    return [layer for layer in layers if layer.arrays]


def assign_weights(model: Any, layers: list[LayerWeights], title: str, *, by_name: bool = False) -> None:
    """Give the layers of ``model`` their weights, in order; the names of layers need not agree.

    Parameters
    ----------
    by_name
        If all names agree, go by them: the order is not certain.

    Raises
    ------
    InputError
        Naming the first layer that differs and both shapes; the model is not changed then.
    """
    own = [layer for layer in model.layers if layer.weights]
    named = {layer.name: layer for layer in layers}
    if by_name and len(named) == len(layers) and set(named) == {layer.name for layer in own}:
        layers = [named[layer.name] for layer in own]
    for layer, given in zip(own, layers, strict=False):
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if shapes != [array.shape for array in given.arrays]:
            raise InputError(
                f"{title} is of another architecture, its layer {given.name!r} is {given.shapes} where this network "
                f"has {format_shapes(shapes)} ({layer.name!r}): choose the options that it was trained with."
            )
    if len(own) != len(layers):
        first = (own if len(own) > len(layers) else layers)[min(len(own), len(layers))].name
        raise InputError(
            f"{title} is of another architecture, it has {len(layers)} layers with weights where this network has "
            f"{len(own)} (the first that only one has is {first!r}): choose the options that it was trained with."
        )
    for layer, given in zip(own, layers, strict=True):
        layer.set_weights(list(given.arrays))


def _read_layer(group: Any, name: str) -> LayerWeights:
    layer = group[name]
    arrays = []
    for weight_name in layer.attrs["weight_names"]:
        arrays.append(np.asarray(layer[_text(weight_name)][()], np.float32))
    return LayerWeights(name, tuple(arrays))


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _refuse_links(root: h5py.File, title: str) -> None:
    """Raise InputError if the file leads to data outside of it, or claims more data than weights can be."""
    waiting: list[h5py.Group] = [root]
    seen, total = set(), 0
    while waiting:
        group = waiting.pop()
        if group.id in seen:  # groups may hold one another
            continue
        seen.add(group.id)
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise InputError(f"{title} has a link ({name!r}) instead of data, which is not followed for safety.")
            member = group[name]
            if isinstance(member, h5py.Group):
                waiting.append(member)
            elif isinstance(member, h5py.Dataset):
                if member.external or member.is_virtual:
                    raise InputError(f"{title} keeps {name!r} in another file, which is not read for safety.")
                total += 4 * (member.size or 0)
    if total > LARGEST_WEIGHTS:
        raise InputError(f"{title} claims more than {LARGEST_WEIGHTS / 2**30:.0f} GiB of weights: do not use it.")


def _refuse_code(root: h5py.File, title: str) -> None:
    """Raise InputError if a whole model has layers that are code: Python in a Lambda, classes of someone's own.

    Nothing of it would run here; but the network cannot be the one that is built here, and is no file to pass on.
    """
    config = root.attrs.get("model_config")
    if config is None:
        return
    try:
        layers = json.loads(_text(config))["config"]["layers"]
        kinds = [(str(layer["class_name"]), str(layer.get("config", {}).get("name", ""))) for layer in layers]
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # the weights are read all the same
    for kind, name in kinds:
        if kind.rpartition(">")[2] == "Lambda" or ">" in kind:
            raise InputError(
                f"{title} is a whole model with the layer {name!r} of the kind {kind}, which is code and is not read "
                "for safety: save its weights alone (save_weights) and start from these."
            )
