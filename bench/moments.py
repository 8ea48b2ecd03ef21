"""When a child SA came up, as charon itself tells by its VICI event `child-updown`."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import vici

from lab.boxes import Box
from lab.processes import wait_for


class Moments:
    """Hears one charon; `first` is when the first child SA came up (`time.monotonic`, seconds)."""

    def __init__(self, path: pathlib.Path) -> None:
        self._wire = socket.socket(socket.AF_UNIX)
        self._wire.connect(str(path))
        self._up: list[float] = []
        self._thread = threading.Thread(target=self._listen, name="moments", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        # The socket's end is how the listening ends.
        with contextlib.suppress(OSError, EOFError, vici.exception.SessionException):
            for _, event in vici.Session(self._wire).listen(["child-updown"]):
                if event.get("up") == b"yes":
                    self._up.append(time.monotonic())

    def first(self) -> float:
        """Return when the first child SA came up; LabError if none does within 5 s."""
        wait_for(lambda: bool(self._up), 5, "charon tells of a child SA", every=0.01)
        return self._up[0]

    def close(self) -> None:
        """Hear no more."""
        self._wire.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._wire.close()


@contextlib.contextmanager
def moments(box: Box, router_id: str) -> Iterator[Moments]:
    """Hear the charon of a router that a box's agent serves."""
    state = pathlib.Path(f"/proc/{box.init().pid}/root/var/lib/swanherd")
    wait_for(
        lambda: any(state.glob(f"**/{router_id}/charon.vici")), 30, "charon's socket is there"
    )
    (path,) = state.glob(f"**/{router_id}/charon.vici")
    heard = Moments(path)
    try:
        yield heard
    finally:
        heard.close()
