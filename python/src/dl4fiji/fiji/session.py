"""A Fiji in this Python, or the embedded ImageJ, with our menu and a service at hand."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from dl4fiji.errors import DL4FijiError, InputError, SetupError
from dl4fiji.fiji.embedded import start_embedded
from dl4fiji.fiji.pyimagej import start_fiji
from dl4fiji.fiji.scripts import scripts_folder
from dl4fiji.home import Home

_MENU = Path("Plugins") / "DL4Fiji"


class Session:
    """A running Fiji or ImageJ. Made by `start_session`; a process has one at most.

    Parameters
    ----------
    gateway
        pyimagej's gateway, or None for the embedded ImageJ.
    embedded
        The Java class that runs scripts in the embedded ImageJ, or None.
    headless
        Whether it has no windows.
    notes
        Sentences on what the user should know, e.g. why the embedded ImageJ was taken.
    """

    def __init__(self, gateway: Any, embedded: Any, headless: bool, notes: list[str]) -> None:
        self.gateway = gateway
        self.headless = headless
        self.notes = notes
        self._embedded = embedded

    def run_script(self, script: str | Path, **inputs: Any) -> dict[str, Any]:
        """Run a menu script as a click in the menu would, and return its outputs.

        Parameters
        ----------
        script
            Its place below the menu DL4Fiji, e.g. ``"Train/CARE_2D"`` or ``"Predict"``, or any script's path.
        inputs
            Values by the names that macros use, too.

        Raises
        ------
        InputError
            If there is no such script or input.
        DL4FijiError
            With the sentence that the script would show in a dialog.
        """
        from scyjava import jimport, to_java

        file = find_script(script)
        values = jimport("java.util.HashMap")()
        for name, value in inputs.items():
            values.put(name, to_java(str(value) if isinstance(value, Path) else value))
        if self._embedded is not None:
            outputs = self._run_embedded(file, values)
        else:
            java_file = jimport("java.io.File")(str(file))
            outputs = self.gateway.script().run(java_file, True, values).get().getOutputs()
        answers = {str(key): _to_python(outputs.get(key)) for key in outputs.keySet()}
        if "error" in answers and answers["error"] is None:
            raise DL4FijiError(f"{file.name} ended by an error of its own: please report it with the lines above.")
        if answers.get("error"):
            raise DL4FijiError(str(answers["error"]))
        return answers

    def _run_embedded(self, file: Path, values: Any) -> Any:
        from jpype import JException
        from scyjava import jimport

        try:
            return self._embedded.runScript(jimport("java.io.File")(str(file)), values)
        except JException as error:
            raise InputError(f"{file.name} cannot be run: {error.getMessage()}.") from error

    def run_macro(self, macro: str | Path, args: str = "") -> str:
        """Run a macro, given as a file or as its text, and return what it returns.

        Files are read as UTF-8; ImageJ itself takes the files that it reads for Latin-1.

        Raises
        ------
        InputError
            If there is no such file.
        DL4FijiError
            If the macro was ended by an error: the sentence of the command that failed, or ImageJ's.
        """
        from jpype import JException
        from scyjava import jimport

        text = read_macro(macro)
        system, interpreter = jimport("java.lang.System"), jimport("ij.macro.Interpreter")()
        system.clearProperty("dl4fiji.error")
        answer, thrown = "", ""
        try:
            answer = str(interpreter.run(text, args) or "")
        except JException as error:  # "Macro canceled", or ImageJ could not show the error in a dialog
            thrown = str(error.getMessage() or error.getClass().getSimpleName())
        failed = str(system.getProperty("dl4fiji.error") or "")
        if failed:
            raise DL4FijiError(failed)
        reason = str(interpreter.getErrorMessage() or "") if interpreter.wasError() else ""
        if reason or thrown:
            line = int(interpreter.getLineNumber())
            interpreter.setIgnoreErrors(True)
            interpreter.abort("")
            where = f" (line {line})" if line > 0 else ""
            raise DL4FijiError(f"The macro was ended by an error{where}: {(reason or thrown).rstrip('.')}.")
        return answer

    def open(self, path: str | Path) -> Any:
        """Open an image and return its ImagePlus; without windows, too, it is one of the open images.

        Raises
        ------
        InputError
            If ImageJ cannot open it.
        """
        from scyjava import jimport

        image = jimport("ij.IJ").openImage(str(path))
        if image is None:
            raise InputError(f"ImageJ cannot open {path}: is it an image?")
        self.show(image)
        return image

    def show(self, image: Any) -> None:
        """Make an ImagePlus one of the open images."""
        from scyjava import jimport

        if self.headless:
            self.run_macro("x = 0;")  # enters batch mode, in which images need no windows
            jimport("ij.macro.Interpreter").addBatchModeImage(image)
        else:
            image.show()

    def wait_until_closed(self) -> None:
        """Return when the user has closed Fiji, or on Ctrl-C."""
        from scyjava import jimport

        image_j = jimport("ij.IJ")
        pause = threading.Event()
        while image_j.getInstance() is not None and image_j.getInstance().isShowing():
            pause.wait(0.5)


def start_session(app: str | Path | None = None, headless: bool = True, home: Home | None = None) -> Session:
    """Start Fiji, or the embedded ImageJ where none is given or reachable, with our menu in it.

    Parameters
    ----------
    app
        A folder such as ``Fiji.app``, or an endpoint that pyimagej understands such as ``sc.fiji:fiji``.
    headless
        Without windows.
    home
        Where models and jobs are; the user's usual one if None.

    Raises
    ------
    SetupError
        If there is no Java, no display for windows, or no ImageJ to be had.
    """
    import scyjava

    if scyjava.jvm_started():
        raise SetupError("A JVM already runs in this Python, and one process has only one: start a new Python.")
    home = (home or Home.default()).create()
    notes: list[str] = []
    properties = {
        "dl4fiji.library": str(scripts_folder() / "library"),
        "dl4fiji.scripts": str(scripts_folder() / _MENU),
        "dl4fiji.python": sys.executable,
        "dl4fiji.home": str(home.root.absolute()),
    }
    gateway = start_fiji(app, headless, properties, notes) if app else None
    embedded = None
    if gateway is None:
        embedded = start_embedded(headless, properties)
        if not app:
            notes.append(
                "No Fiji was given (--app): this is the embedded ImageJ, which runs the same commands and macros."
            )
    scyjava.when_jvm_stops(_end_filter_threads)
    return Session(gateway, embedded, headless, notes)


def _end_filter_threads() -> None:
    """End the threads of ImageJ's filters: an ending JVM would wait two minutes for new work for them."""
    from scyjava import jimport

    jimport("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()


def find_script(script: str | Path) -> Path:
    """Return the file of a menu script; InputError names those there are."""
    folder = scripts_folder() / _MENU
    given = Path(script)
    stem = given.with_suffix("") if given.suffix == ".groovy" else given
    name = stem.name.replace(" ", "_")
    candidates = (given, folder / stem.parent / f"{name}.groovy", folder / stem.parent / f"DL4Fiji_{name}.groovy")
    for candidate in candidates:
        if candidate.is_file():
            return candidate.absolute()
    known = ", ".join(sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.groovy")))
    raise InputError(f"There is no menu script {str(script)!r}: there are {known}.")


def read_macro(macro: str | Path) -> str:
    """Return a macro's text: of the file named, or the text itself if it can be no file's name."""
    if isinstance(macro, str) and ("\n" in macro or ";" in macro or "(" in macro) and not Path(macro[:255]).is_file():
        return macro
    path = Path(macro)
    if not path.is_file():
        raise InputError(f"There is no macro {path}: give the path of an .ijm file.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return path.read_text(encoding="latin-1")


def _to_python(value: Any) -> Any:
    """Return a script's output as a Python value where that is simple."""
    from scyjava import to_python

    return to_python(value, gentle=True)
