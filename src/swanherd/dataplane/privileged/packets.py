"""Raw frames from inside a router's namespace (packet(7)); no firewall sees them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence

from swanherd.dataplane.privileged import default, inside


@default.entrypoint
def send(namespace: str, device: str, frames: Sequence[bytes], pauses: Sequence[float]) -> None:
    """Send the frames in the background, and again after each of the pauses (seconds)."""

    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        try:
            sock.bind((device, 0))
        except OSError:
            sock.close()
            raise
        return sock

    # The socket stays in the namespace where it was opened, whoever uses it.
    sock = inside.within(namespace, opened)
    arguments = (sock, frames, pauses)
    try:
        inside.start(
            threading.Thread(target=_repeat, args=arguments, name="announce", daemon=True)
        )
    except OSError:
        sock.close()
        raise


def _repeat(sock: socket.socket, frames: Sequence[bytes], pauses: Sequence[float]) -> None:
    pause = threading.Event()
    # The device may go while we speak.
    with sock, contextlib.suppress(OSError):
        for seconds in (*pauses, 0.0):
            for frame in frames:
                sock.send(frame)
            pause.wait(seconds)
