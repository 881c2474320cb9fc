"""What ``dl4fiji fiji`` does: service, Fiji, macro."""

from __future__ import annotations

import sys
from pathlib import Path

from dl4fiji.client import ServiceClient
from dl4fiji.errors import InputError
from dl4fiji.fiji.session import read_macro, start_session
from dl4fiji.home import Home


def run(app: str = "", headless: bool = False, macro: Path | None = None, args: str = "") -> str:
    """Start or find the service, start Fiji, run a macro if one is given.

    With windows it returns when Fiji is closed; without, when the macro has ended. The service goes on.

    Parameters
    ----------
    app
        A Fiji's folder or an endpoint; empty: the embedded ImageJ.
    headless
        Without windows; needs a macro.
    macro
        An .ijm file.
    args
        What ``getArgument()`` gives in it.

    Returns
    -------
    str
        What the macro returned.

    Raises
    ------
    InputError
        If the macro is missing.
    DL4FijiError
        If the service or Fiji does not start, or the macro ended by an error.
    """
    if macro is not None:
        read_macro(Path(macro))  # a wrong name is said before anything starts
    elif headless:
        raise InputError("Without windows (--headless) there is nothing to do without a macro: name one by --macro.")
    home = Home.default().create()
    with ServiceClient.connect(home, start=True) as client:
        sys.stderr.write(f"The DL4Fiji service runs at {client.url}.\n")
    session = start_session(app or None, headless, home)
    for note in session.notes:
        sys.stderr.write(f"{note}\n")
    answer = session.run_macro(Path(macro), args) if macro is not None else ""
    if not headless:
        session.wait_until_closed()
    return answer
