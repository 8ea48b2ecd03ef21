"""Raw frames from inside a router's namespace (packet(7)); no firewall sees them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence

from swanherd.dataplane.privileged import default, inside


@default.entrypoint
def send(
    namespace: str, device: str, frames: Sequence[bytes], times: int, interval: float
) -> None:
    """Send the frames `times` times in the background, `interval` seconds apart."""

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
    arguments = (sock, frames, times, interval)
    threading.Thread(target=_repeat, args=arguments, name="announce", daemon=True).start()


def _repeat(sock: socket.socket, frames: Sequence[bytes], times: int, interval: float) -> None:
    pause = threading.Event()
    # The device may go while we speak.
    with sock, contextlib.suppress(OSError):
        for _ in range(times):
            for frame in frames:
                sock.send(frame)
            pause.wait(interval)
