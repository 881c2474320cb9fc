"""The embedded ImageJ: ImageJ 1, SciJava and Groovy from Maven Central, where no Fiji is given or to be had."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from dl4fiji.errors import SetupError
from dl4fiji.fiji.scripts import scripts_folder

ENDPOINTS = (
    "net.imagej:ij:1.54p",
    "org.scijava:scijava-common:2.100.0",
    "org.scijava:parsington:3.1.0",  # scijava-common 2.100 does not bring it
    "org.apache.groovy:groovy:4.0.23",
    "org.apache.groovy:groovy-json:4.0.23",
    "org.apache.groovy:groovy-jsr223:4.0.23",
)
_PARTS = Path(__file__).with_name("embedded.groovy")


def start_embedded(headless: bool, properties: dict[str, str]) -> Any:
    """Start the embedded ImageJ in this Python and return the Java class that runs scripts in it.

    ``properties`` are system properties that tell our scripts where things are. The first start on a machine
    fetches some 15 MB from Maven Central; later ones need no network.

    Raises
    ------
    SetupError
        If there is no Java, the parts cannot be fetched, or there is no display to show windows on.
    """
    import scyjava

    require_display(headless)
    scyjava.config.set_java_constraints(fetch="auto")
    scyjava.config.endpoints.extend(ENDPOINTS)
    scyjava.config.add_option(f"-Djava.awt.headless={str(headless).lower()}")
    for key, value in properties.items():
        scyjava.config.add_option(f"-D{key}={value}")
    try:
        scyjava.start_jvm()
    except Exception as error:  # jgo, cjdk and JPype each have errors of their own kind
        raise SetupError(explain(error)) from error
    return _load(headless)


def require_display(headless: bool) -> None:
    """Raise SetupError if windows are wanted where there is nothing to show them on."""
    if not headless and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        raise SetupError("There is no display to show ImageJ on (DISPLAY is not set): use --headless.")


def explain(error: Exception) -> str:
    """Say in one sentence why the JVM did not start."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        return (
            f"ImageJ needs Java, which was not found on this machine and could not be fetched ({reason}): install a "
            "Java 8 to 21, e.g. by `conda install openjdk` or `sudo apt install openjdk-17-jre`."
        )
    return (
        f"ImageJ's parts could not be fetched from Maven Central ({reason}): connect to the internet once, or give "
        "the folder of a Fiji by --app."
    )


def _load(headless: bool) -> Any:
    """Compile and start `embedded.groovy`."""
    from scyjava import jimport

    loader_class = jimport("groovy.lang.GroovyClassLoader")
    thread = jimport("java.lang.Thread").currentThread()
    system_loader = jimport("java.lang.ClassLoader").getSystemClassLoader()
    thread.setContextClassLoader(system_loader)
    loader = loader_class(system_loader)
    loader.parseClass(_PARTS.read_text(encoding="utf-8"), "embedded.groovy")
    embedded = loader.loadClass("dl4fiji.embedded.Embedded")
    from jpype import JClass

    start = JClass(embedded)
    start.start(jimport("java.io.File")(str(scripts_folder())), headless)
    return start
