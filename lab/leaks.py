"""Where a word that nobody may see is: in files, in the databases, in what processes show."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from lab.boxes import Box, holders
from lab.layout import FABRIC_BOX, USER_BOX, Lab
from lab.processes import PROC, processes

T = TypeVar("T")

# What a test itself keeps below the state of a lab.
OWN = ("taps",)


def forms(word: str) -> tuple[str, ...]:
    """Return the ways in which a word of letters and digits may be written.

    As it is (so it stays in JSON, SQL, a URL and Python's repr), in hex, in base64.
    """
    raw = word.encode()
    # Base64 of a word within a longer text has one of three forms; its ends belong to what
    # surrounds it.
    middles = [base64.b64encode(b"\0" * n + raw).decode()[4 if n else 0 : -4] for n in range(3)]
    return word, raw.hex(), raw.hex().upper(), *middles


def holds(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words is in the text, in one of its forms."""
    return any(form in text for word in words for form in forms(word))


def files(lab: Lab, words: Sequence[str]) -> list[str]:
    """Return the files of the lab, logs and the databases' own among them, that hold a word."""
    kept = [str(path) for path in lab.state.iterdir() if path.name not in OWN]
    # Each box has a /run in memory.
    runs = [f"{PROC}/{Box(lab, name).init().pid}/root/run" for name in lab.box_names]
    options = ["-rlaF", "--devices=skip", "--exclude=*.sock", "-f", "-"]
    done = subprocess.run(
        ["grep", *options, *kept, *runs],
        check=False,
        input="\n".join(form for word in words for form in forms(word)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def dump(lab: Lab) -> str:
    """Return everything that the clouds' databases hold."""
    argv = ["mariadb-dump", "-uroot", f"--socket={lab.database_socket}", "--all-databases"]
    return Box(lab, FABRIC_BOX).run(argv, timeout=120).stdout


@contextlib.contextmanager
def watched(lab: Lab, words: Sequence[str]) -> Iterator[set[str]]:
    """Look at the arguments and the environment of all processes of the lab all the time.

    Those that have shown a word are in the set. A person's own client isn't looked at.
    """
    found: set[str] = set()
    ended = threading.Event()
    sought = [form.encode() for word in words for form in forms(word)]
    spaces = {_space(Box(lab, n).init().pid) for n in holders(lab) if n != USER_BOX} - {""}

    def look() -> None:
        while not ended.wait(0.05):
            for process in processes():
                found.update(_showing(process.pid, spaces, sought))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _showing(pid: int, spaces: set[str], sought: Sequence[bytes]) -> Iterator[str]:
    if _space(pid) not in spaces:
        return
    for name in ("cmdline", "environ"):
        text = _read(PROC / str(pid) / name)
        if any(form in text for form in sought):
            yield f"{name} of {_read(PROC / str(pid) / 'comm').decode().strip()}"


def _space(pid: int) -> str:
    return _quietly(lambda: os.readlink(PROC / str(pid) / "ns/pid")) or ""


def _read(path: pathlib.Path) -> bytes:
    return _quietly(path.read_bytes) or b""


def _quietly(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OSError:  # it has ended
        return None
