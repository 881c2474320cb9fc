"""Starts the service for a menu script: ``python -m dl4fiji.fiji.start_service``.

Prints the service's address, or one sentence why it does not start.
"""

from __future__ import annotations

import sys

from dl4fiji.client import ServiceClient
from dl4fiji.errors import DL4FijiError
from dl4fiji.home import Home


def main() -> int:
    """Start the service unless it runs; 0 if it does."""
    try:
        with ServiceClient.connect(Home.default().create(), start=True) as client:
            print(client.url)
    except DL4FijiError as error:
        print(error.message)
        return 1
    except OSError as error:
        print(f"The DL4Fiji service cannot be started: {error.strerror} ({error.filename}).")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
