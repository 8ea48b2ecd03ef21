"""swanherd-netns-keeper: makes namespaces on the node, beside an agent that may not."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from swanherd.dataplane import keeper


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer until a signal ends it; namespaces stay."""
    parser = argparse.ArgumentParser(prog="swanherd-netns-keeper", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where to answer")
    server = keeper.Server(parser.parse_args(arguments).socket)
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop, which runs in this thread.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
