"""Sends frames on devices of a box again and again: `python -m lab.inject SECONDS`.

JSON on stdin tells which: device to frames in hex. Each round has all of them, as many seconds
after the last one. It ends with its stdin.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
from collections.abc import Mapping, Sequence


def send(frames: Mapping[str, Sequence[bytes]]) -> None:
    """Send each frame once."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        for device, each in frames.items():
            # A wire may be cut, or gone with a node.
            with contextlib.suppress(OSError):
                for frame in each:
                    sock.sendto(frame, (device, 0))


def main(every: float) -> None:
    """Send until stdin ends."""
    told = json.loads(sys.stdin.readline())
    frames = {device: [bytes.fromhex(one) for one in each] for device, each in told.items()}
    while not select.select([sys.stdin], [], [], every)[0]:
        send(frames)


if __name__ == "__main__":
    main(float(sys.argv[1]))
