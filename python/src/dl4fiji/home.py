"""Where DL4Fiji keeps its things: one folder per user, ``DL4FIJI_HOME`` or the platform's data folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from dl4fiji.errors import InputError

_RESERVED = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))}
_NAME = re.compile(r"[^\W_][\w .()+-]{0,99}", re.UNICODE)


def check_name(name: str, what: str = "model") -> str:
    """Return ``name`` if it can name a folder on every system, else raise InputError."""
    stripped = name.strip()
    if (
        not _NAME.fullmatch(stripped)
        or stripped.endswith(".")
        or ".." in stripped
        or stripped.split(".")[0].strip().lower() in _RESERVED
    ):
        raise InputError(
            f"{name!r} cannot be the name of a {what}: use up to 100 letters, digits, spaces or . _ - + ( ), "
            "beginning with a letter or digit."
        )
    return stripped


@dataclass(frozen=True)
class Home:
    """The folders and files of one user's DL4Fiji.

    Parameters
    ----------
    root
        The folder that holds all others.
    """

    root: Path

    @classmethod
    def default(cls) -> Home:
        """Return the home named by ``DL4FIJI_HOME``, or the platform's usual one."""
        chosen = os.environ.get("DL4FIJI_HOME")
        return cls(Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("dl4fiji", False)))

    @property
    def jobs(self) -> Path:
        """One folder per job, named by its id."""
        return self.root / "jobs"

    @property
    def models(self) -> Path:
        """One folder per trained or imported model, named by the model."""
        return self.root / "models"

    @property
    def inbox(self) -> Path:
        """Images handed over by Fiji, one folder per hand-over."""
        return self.root / "inbox"

    @property
    def database(self) -> Path:
        """The job store."""
        return self.root / "jobs.sqlite"

    @property
    def token_file(self) -> Path:
        """The service's token; mode 0600."""
        return self.root / "token"

    @property
    def service_file(self) -> Path:
        """Address and process of the running service, as JSON (url, port, pid, version)."""
        return self.root / "service.json"

    @property
    def service_lock(self) -> Path:
        """Held by the running service."""
        return self.root / "service.lock"

    @property
    def service_log(self) -> Path:
        """The log of the service."""
        return self.root / "service.log"

    @property
    def settings_file(self) -> Path:
        """Settings of this user, as JSON."""
        return self.root / "settings.json"

    @property
    def downloads(self) -> Path:
        """Models fetched from the web; may be deleted at any time."""
        return self.root / "downloads"

    @property
    def engines(self) -> Path:
        """Jars of the Java engines that certify exports."""
        return self.root / "engines"

    def model(self, name: str) -> Path:
        """Return the folder of the model ``name``; InputError if that is no valid name."""
        return self.models / check_name(name)

    def job(self, job_id: str) -> Path:
        """Return the folder of the job ``job_id``; InputError if that is no valid id."""
        if not re.fullmatch(r"[0-9a-z-]{1,64}", job_id):
            raise InputError(f"{job_id!r} is not the id of a job.")
        return self.jobs / job_id

    def create(self) -> Home:
        """Create the folders, readable by this user alone, and return self."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.jobs, self.models, self.inbox):
            folder.mkdir(exist_ok=True, mode=0o700)
        return self
