"""The other end of `fiji_process`: starts a session and answers calls; run as a program."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dl4fiji.fiji.session import Session, start_session

_ANSWER = "\x1eanswer "


class Calls:
    """What tests may call."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def run_script(self, script: str, inputs: dict[str, Any] | None = None) -> Any:
        """Run a menu script and return its outputs."""
        return self.session.run_script(script, **(inputs or {}))

    def run_macro(self, macro: str, args: str = "") -> str:
        """Run a macro's text, or its file."""
        return self.session.run_macro(macro, args)

    def open(self, path: str) -> str:
        """Open an image and return its title."""
        return str(self.session.open(path).getTitle())

    def groovy(self, code: str, **values: Any) -> str:
        """Evaluate Groovy, which sees the menu's library and, as ``given``, ``values``; return the result as text."""
        from scyjava import jimport

        library = str(jimport("java.lang.System").getProperty("dl4fiji.library"))
        thread = jimport("java.lang.Thread").currentThread()
        binding = jimport("groovy.lang.Binding")()
        binding.setVariable("input", json.dumps(values))
        parent = thread.getContextClassLoader()
        shell = jimport("groovy.lang.GroovyShell")(parent, binding)
        shell.evaluate(jimport("java.io.File")(library, "load.groovy"))
        commands = jimport("ij.IJ").getProperty("dl4fiji.commands").get(1)
        inside = jimport("groovy.lang.GroovyShell")(commands.getClass().getClassLoader(), binding)
        return str(inside.evaluate("def given = new groovy.json.JsonSlurper().parseText(input)\n" + code))


def main() -> None:
    """Answer one JSON line per call until the pipe is closed."""
    session = start_session(sys.argv[1] or None, headless=True)
    calls = Calls(session)
    answer("", session.notes)
    for line in sys.stdin:
        name, arguments, keywords = json.loads(line)
        try:
            answer("", getattr(calls, name)(*arguments, **keywords))
        except Exception as error:  # noqa: BLE001 - told to the test, which expects it or not
            answer(type(error).__name__, str(error))


def answer(kind: str, value: Any) -> None:
    """Write an answer as one line of ASCII."""
    from scyjava import jimport

    jimport("java.lang.System").out.flush()
    print(f"\n{_ANSWER}{json.dumps([kind, value if not isinstance(value, Path) else str(value)])}", flush=True)


if __name__ == "__main__":
    main()
