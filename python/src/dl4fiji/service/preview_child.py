"""Makes one preview: ``python -m dl4fiji.service.preview_child`` reads a training request and answers, both in JSON.

A process of its own: it can be ended when it takes too long, and its memory is given back.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from dl4fiji import networks
from dl4fiji.errors import DL4FijiError
from dl4fiji.jobs.job import TrainRequest
from dl4fiji.options import check_options


def main() -> int:
    """Write the preview, or what is wrong, to the standard output."""
    from dl4fiji.training.montage import png  # scipy comes with these, which the service itself does without
    from dl4fiji.training.preview import draw_preview

    request = TrainRequest.model_validate_json(sys.stdin.buffer.read())
    try:
        network = networks.get(request.network)
        options = check_options(network.Options, request.options, network.title)
        preview = draw_preview(network, request.data, options)
    except DL4FijiError as error:
        answer: dict[str, Any] = {"problems": error.problems or [error.message]}
    else:
        answer = {
            "png": base64.b64encode(png(preview.picture)).decode("ascii"), "patches": list(preview.patches),
            "text": preview.text, "warnings": list(preview.warnings),
        }  # fmt: skip
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
