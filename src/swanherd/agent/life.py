"""The repeated work of an agent: threads that begin together and end together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from swanherd.core.failures import Failure

LOG = logging.getLogger(__name__)


class Life:
    """Ends with `end`; until then each work is done again and again in a thread of its own.

    After a failure it is done no sooner than these seconds later, whatever its interval.
    """

    def __init__(self, after_failure: float = 1.0) -> None:
        self._over = threading.Event()
        self._after_failure = after_failure

    def end(self) -> None:
        """Let every thread end after what it does now."""
        self._over.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; tell whether it has come."""
        return self._over.wait(seconds)

    def every(self, interval: float, work: Callable[[], None], name: str) -> None:
        """Do `work` now and then every `interval` seconds; a Failure is logged."""

        def loop() -> None:
            while True:
                pause = interval
                try:
                    work()
                except Failure as failure:
                    LOG.warning("%s: %s", name, failure)
                    pause = max(interval, self._after_failure)
                if self._over.wait(pause):
                    return

        threading.Thread(target=loop, name=name, daemon=True).start()
