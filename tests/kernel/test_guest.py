"""What the guest changes that labs share is its own: the machine's labs don't notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.boxes import OWN_DIRECTORIES
from lab.layout import CACHE, STATE


def test_the_machines_labs_are_not_seen() -> None:
    """They come and go below, whatever a lab in the guest does."""
    assert not STATE.exists()
    STATE.mkdir()
    assert not list(STATE.iterdir())
    STATE.rmdir()


@pytest.mark.parametrize("directory", [*map(str, (STATE, CACHE)), *OWN_DIRECTORIES])
def test_a_lab_in_the_guest_writes_nothing_of_the_machines(directory: str) -> None:
    """Neither sees the other's locks nor processes, and each would remove the other's files."""
    found = Path(directory)
    while not found.is_mount():
        found = found.parent
    mounts = map(str.split, Path("/proc/self/mounts").read_text().splitlines())
    kinds = {point: kind for _, point, kind, *_ in mounts}
    assert kinds[str(found)] in ("overlay", "tmpfs")
