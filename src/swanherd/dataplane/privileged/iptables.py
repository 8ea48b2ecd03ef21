"""iptables-legacy by its save and restore programs: there is no library that speaks to x_tables.

What they are to do comes by stdin; their arguments are these constants only (iptables-restore(8)).
"""

from __future__ import annotations

import errno
import functools
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence

from swanherd.dataplane.privileged import default, inside, xtables

_PREFIX = {4: "iptables", 6: "ip6tables"}
_SECONDS = 20

# Characters: some thousand routers have less, each with a few connections.
_KEPT = 1 << 25


class Printed:
    """What was printed of which rules, so that a look at a guard needs no process.

    What wasn't asked for lately goes, if it becomes more than so many characters.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._tables: dict[str, dict[int, str]] = {}
        self._lock = threading.Lock()

    def get(self, fingerprint: str) -> dict[int, str] | None:
        """Return what was printed of these rules; None if that isn't known."""
        with self._lock:
            tables = self._tables.pop(fingerprint, None)
            if tables is None:
                return None
            self._tables[fingerprint] = tables
            return dict(tables)

    def keep(self, fingerprint: str, tables: Mapping[int, str]) -> None:
        """Remember it; of the same rules the same is printed."""
        with self._lock:
            if fingerprint in self._tables:
                return
            self._tables[fingerprint] = dict(tables)
            self._size += _length(tables)
            while self._size > self._most and len(self._tables) > 1:
                self._size -= _length(self._tables.pop(next(iter(self._tables))))


def _length(tables: Mapping[int, str]) -> int:
    return sum(map(len, tables.values()))


_printed = Printed(_KEPT)


@default.entrypoint
def is_there() -> bool:
    """Tell whether the programs are installed."""
    try:
        return all(_program(v, verb) for v in _PREFIX for verb in ("save", "restore"))
    except FileNotFoundError:
        return False


@default.entrypoint
def load(namespace: str, tables: Mapping[int, str]) -> None:
    """Do the changes inside the namespace, each family's as one transaction."""
    inside.within(namespace, lambda: restore(tables))


@default.entrypoint
def listing(namespace: str, names: Sequence[str] = ("filter",)) -> dict[int, str]:
    """Return at least the tables of these names of both families, as iptables-save prints them."""
    return inside.within(namespace, lambda: save(names))


def restore(tables: Mapping[int, str]) -> None:
    """Do the changes in this thread's namespace; rules that they don't name stay."""
    for version, text in tables.items():
        # -w: others may hold the lock, which is one for all namespaces.
        _run([_program(version, "restore"), "--noflush", "-w", "10"], text)


def save(names: Sequence[str] = ("filter",)) -> dict[int, str]:
    """Return the tables of this thread's namespace; the same rules aren't printed again."""
    fingerprint = xtables.fingerprint(names)
    if (known := _printed.get(fingerprint)) is not None:
        return known
    # One process for all tables that there are, if more than one is asked for.
    chosen = ["-t", *names] if len(names) == 1 else []
    tables = {v: _run([_program(v, "save"), *chosen], "") for v in _PREFIX}
    # Unless somebody changed them meanwhile.
    if fingerprint and fingerprint == xtables.fingerprint(names):
        _printed.keep(fingerprint, tables)
    return tables


def _run(argv: list[str], text: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - constants
            argv, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(errno.ETIMEDOUT, f"{argv[0]} takes more than {_SECONDS} s") from error
    if done.returncode:
        raise OSError(_error_number(done.stderr), f"{argv[0]}: {done.stderr.strip()}")
    return done.stdout


def _error_number(text: str) -> int:
    """Guess why: the programs tell it in words only."""
    if "Permission denied" in text:
        return errno.EPERM
    missing = ("Table does not exist", "No chain/target/match", "Couldn't load match")
    return errno.EOPNOTSUPP if any(words in text for words in missing) else errno.EIO


@functools.cache
def _program(version: int, verb: str) -> str:
    """Return the path of the program that speaks to x_tables, not to nf_tables."""
    names = (f"{_PREFIX[version]}-legacy-{verb}", f"{_PREFIX[version]}-{verb}")
    for name in names:
        if path := shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin"):
            return path
    raise FileNotFoundError(errno.ENOENT, f"{names[0]} isn't installed")
