"""What a bioimage.io description (``rdf.yaml``, formats 0.3 to 0.5) says of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dl4fiji.errors import InputError

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
LARGEST_DESCRIPTION = 8 * 2**20


@dataclass(frozen=True)
class PackagedFile:
    """A file that a description names."""

    source: str
    """A path relative to the description, or an address on the web."""
    sha256: str = ""

    @property
    def name(self) -> str:
        """Its own name, without folders."""
        return self.source.partition("?")[0].rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Package:
    """What a description says."""

    keras: PackagedFile | None = None
    """Keras weights: those of ``keras_hdf5``, else an attached HDF5 file."""
    saved_model: PackagedFile | None = None
    attached: list[PackagedFile] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """All kinds of weights that there are, for messages."""
    peer: Mapping[str, Any] = field(default_factory=dict)
    """The configuration of a peer library, where it is within the description, as stardist writes it."""

    @property
    def files(self) -> Iterator[PackagedFile]:
        """All files that may tell how to start from it."""
        yield from filter(None, (self.keras, self.saved_model, *self.attached))


def read_package(content: bytes, title: str) -> Package:
    """Read a description; nothing in it can name code to be run.

    Raises
    ------
    InputError
        If it is no description of a model.
    """
    import yaml

    try:
        text = yaml.safe_load(content.decode("utf-8"))
        weights = text.get("weights") or {}
        kinds = [str(kind) for kind in weights]
        keras, saved_model = _file(weights.get("keras_hdf5")), _file(weights.get("tensorflow_saved_model_bundle"))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{title} is no bioimage.io description of a model: choose another.") from error
    attached = list(_attached(text.get("attachments")))
    config = text.get("config")
    own = config.get("stardist") if isinstance(config, dict) else None
    peer: dict[str, Any] = own if isinstance(own, dict) else {}
    named = peer.get("weights")
    if keras is None:
        hdf5 = [file for file in attached if file.name.endswith((".h5", ".hdf5"))]
        keras = next((file for file in hdf5 if file.name == named), None)
        keras = keras or min(hdf5, key=lambda file: ("best" not in file.name, file.name), default=None)
    inner = peer.get("config")
    return Package(keras, saved_model, attached, kinds, inner if isinstance(inner, dict) else {})


def _file(entry: Any) -> PackagedFile | None:
    """Return the file of an entry: a text, or a mapping with ``source`` and perhaps ``sha256``."""
    if isinstance(entry, str):
        return PackagedFile(entry)
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        return None
    source, sha256 = entry["source"], entry.get("sha256")
    return PackagedFile(source.removeprefix("./"), sha256.lower() if isinstance(sha256, str) else "")


def _attached(entries: Any) -> Iterator[PackagedFile]:
    """Yield attachments: a list of entries (0.5), or ``files: [source, …]`` (0.4)."""
    if isinstance(entries, dict):
        entries = entries.get("files")
    for entry in entries if isinstance(entries, list) else []:
        file = _file(entry)
        if file is not None:
            yield file
