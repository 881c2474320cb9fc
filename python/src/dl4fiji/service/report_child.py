"""Makes one report: ``python -m dl4fiji.service.report_child FOLDER`` writes it into a model's folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dl4fiji.errors import DL4FijiError
from dl4fiji.model import ModelFolder
from dl4fiji.quality_control.report import write_report


def main() -> int:
    """Write the report; what is wrong goes to the standard output, in JSON."""
    answer: dict[str, str] = {}
    try:
        write_report(ModelFolder(Path(sys.argv[1])))
    except DL4FijiError as error:
        answer = {"error": error.message}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
