"""Errors that users meet. Each message is one sentence: what, where, and how to mend it.

::

    DL4FijiError
    ├── InputError              something the user gave cannot be used          400
    │   ├── OptionError         an option unknown or out of its range           400
    │   └── DataError           images or folders that cannot be used           400
    ├── UnauthorizedError       no token or a wrong one                         401
    ├── ForbiddenError          a foreign host or origin                        403
    ├── NotFoundError           no such job, model, network or file             404
    ├── ConflictError           a name is taken, or the state forbids it        409
    ├── ResourceError           disk or memory does not suffice                 507
    ├── DownloadError           something on the web cannot be fetched          502
    ├── SetupError              Java, Fiji, an engine or a package is missing   503
    │   └── ServiceError        the service cannot be started or reached        503
    └── WorkerError             a worker ended without a result                 500

    Canceled                    not an error: the user asked a job to stop
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DL4FijiError(Exception):
    """Root of all errors shown to users.

    Parameters
    ----------
    message
        One sentence for the user.
    problems
        All findings, where there are several; ``message`` then is the first of them or sums them up.
    """

    status = 500
    code = "error"

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = list(problems)

    def problem(self) -> dict[str, Any]:
        """Return the error as problem details (RFC 9457)."""
        details: dict[str, Any] = {
            "type": f"urn:dl4fiji:problem:{self.code}",
            "title": self.code.replace("-", " "),
            "status": self.status,
            "detail": self.message,
        }
        if self.problems:
            details["problems"] = self.problems
        return details


class InputError(DL4FijiError):
    """Something the user gave cannot be used."""

    status = 400
    code = "invalid-input"


class OptionError(InputError):
    """An option is unknown, of the wrong type or out of its range."""

    code = "invalid-option"


class DataError(InputError):
    """Images or folders cannot be used as training or input data."""

    code = "invalid-data"


class UnauthorizedError(DL4FijiError):
    """The token is missing or wrong."""

    status = 401
    code = "unauthorized"


class ForbiddenError(DL4FijiError):
    """The request comes from a foreign host or origin."""

    status = 403
    code = "forbidden"


class NotFoundError(DL4FijiError):
    """No such job, model, network or file."""

    status = 404
    code = "not-found"


class ConflictError(DL4FijiError):
    """A name is taken, or the present state forbids the request."""

    status = 409
    code = "conflict"


class ResourceError(DL4FijiError):
    """Disk or memory does not suffice."""

    status = 507
    code = "insufficient-resources"


class DownloadError(DL4FijiError):
    """Something on the web cannot be fetched."""

    status = 502
    code = "download"


class SetupError(DL4FijiError):
    """Java, Fiji, an engine or a package is missing or unusable."""

    status = 503
    code = "setup"


class ServiceError(SetupError):
    """The service cannot be started or reached."""

    code = "service"


class WorkerError(DL4FijiError):
    """A worker process ended without a result.

    Parameters
    ----------
    message
        One sentence for the user.
    exit_code
        The exit code of the worker; ``-9`` for SIGKILL, None if unknown.
    log_tail
        The last lines of the worker's log.
    """

    code = "worker-crashed"

    def __init__(self, message: str, exit_code: int | None = None, log_tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.log_tail = list(log_tail)


class Canceled(Exception):
    """The user asked the running job to stop; raised at the end of a batch or tile."""
