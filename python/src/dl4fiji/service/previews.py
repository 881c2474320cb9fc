"""Previews of training patches: made one at a time in a process of their own, the last few kept in memory."""

from __future__ import annotations

import base64
import json
import logging
import secrets
import subprocess
import sys
import threading
from collections import OrderedDict
from typing import Any

from dl4fiji.errors import ConflictError, DataError, NotFoundError, ResourceError
from dl4fiji.jobs.job import TrainRequest

_log = logging.getLogger(__name__)

SECONDS, _TURN_SECONDS = 40.0, 15.0
"""A preview that takes longer, or does not get its turn, is given up: before those who asked give up, after 60 s."""

_KEPT = 8
_CHILD = [sys.executable, "-m", "dl4fiji.service.preview_child"]


class Previews:
    """Makes previews and keeps their pictures for those who asked."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._turn = threading.Lock()

    def make(self, request: TrainRequest) -> dict[str, Any]:
        """Return ``id``, ``patches``, ``text`` and ``warnings`` of the patches that the training would see first.

        Raises
        ------
        DataError
            With all that speaks against the training.
        ConflictError
            If another preview takes all of the time.
        ResourceError
            If it takes too long or needs too much memory.
        """
        if not self._turn.acquire(timeout=_TURN_SECONDS):
            raise ConflictError("Another preview is being made: try again when it is there.")
        try:
            answer = _run(request)
        finally:
            self._turn.release()
        if "problems" in answer:
            raise DataError(answer["problems"][0], answer["problems"])
        name = secrets.token_hex(8)
        self._pictures[name] = base64.b64decode(answer.pop("png"))
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        return {"id": name, **answer}

    def picture(self, name: str) -> bytes:
        """Return a preview as a PNG file.

        Raises
        ------
        NotFoundError
            If there is none of that name any more.
        """
        try:
            return self._pictures[name]
        except KeyError:
            raise NotFoundError("This preview is not kept any more: make it again.") from None


def _run(request: TrainRequest) -> dict[str, Any]:
    """Run the child and return its answer."""
    try:
        done = subprocess.run(
            _CHILD, input=request.model_dump_json().encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ResourceError(
            f"The preview was given up after {SECONDS:.0f} s, since these images take long to read: "
            "try it with a few of them in a folder of their own."
        ) from None
    if done.returncode != 0:
        _log.error("a preview ended with %d: %s", done.returncode, done.stderr.decode("utf-8", "replace")[-4000:])
        raise ResourceError(
            "The preview could not be made, perhaps for want of memory: try smaller images, and look at the service's "
            "log if that does not help."
        )
    return json.loads(done.stdout)
