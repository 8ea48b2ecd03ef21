"""Private database servers and ovn-northd, each in a directory of its test."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

from tests.unit.steps import calls_of

SCHEMAS = {
    "Open_vSwitch": "/usr/share/openvswitch/vswitch.ovsschema",
    "OVN_Northbound": "/usr/share/ovn/ovn-nb.ovsschema",
    "OVN_Southbound": "/usr/share/ovn/ovn-sb.ovsschema",
}


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until the predicate holds; AssertionError when it doesn't in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it didn't become true in time"
        time.sleep(0.01)


class OvsdbServer:
    """One ovsdb-server with one database, that can be stopped and started again."""

    def __init__(self, directory: pathlib.Path, database: str) -> None:
        self.directory = directory
        self.database = database
        self.socket = directory / f"{database}.sock"
        self.remote = f"unix:{self.socket}"
        self._file = directory / f"{database}.db"
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(["ovsdb-tool", "create", self._file, SCHEMAS[database]], check=True)

    def start(self) -> None:
        """Start the server and wait until it listens."""
        control = self.directory / f"{self.database}.ctl"
        self._process = subprocess.Popen(
            [
                "ovsdb-server",
                "-vconsole:off",
                f"--remote=punix:{self.socket}",
                f"--unixctl={control}",
                f"--log-file={self.directory / self.database}.log",
                self._file,
            ]
        )
        until(self.socket.exists)

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
        self.socket.unlink(missing_ok=True)

    def run(self, tool: str, *arguments: str) -> str:
        """Return what a tool such as ovn-nbctl prints of this database."""
        command = [tool, "--timeout=10", f"--db={self.remote}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def ovsdb_server(directory: pathlib.Path, database: str) -> Iterator[OvsdbServer]:
    """Run a server as long as the block lasts."""
    server = OvsdbServer(directory, database)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Northd:
    """An ovn-northd between two database servers, and what it says."""

    def __init__(self, directory: pathlib.Path, nb: OvsdbServer, sb: OvsdbServer) -> None:
        self.nb = nb
        self.sb = sb
        self._log = directory / "northd.log"
        self._process = subprocess.Popen(
            [
                "ovn-northd",
                "-vconsole:off",
                f"--ovnnb-db={nb.remote}",
                f"--ovnsb-db={sb.remote}",
                f"--unixctl={directory / 'northd.ctl'}",
                f"--log-file={self._log}",
            ]
        )

    def stop(self) -> None:
        """Stop northd and wait until it is gone."""
        self._process.terminate()
        self._process.wait(10)

    def settle(self) -> None:
        """Wait until northd has written what the northbound database says now."""
        self.nb.run("ovn-nbctl", "--wait=sb", "sync")

    def logged(self) -> int:
        """Return how many lines northd has logged about what the database says now."""
        self.settle()
        return len(self._log.read_text().splitlines())

    def complaints(self, since: int) -> list[str]:
        """Return the warnings and errors that concern rows, after so many lines of the log."""
        noise = ("terminating with signal", "ovsdb_idl", "clock", "Unreasonably long")
        lines = self._log.read_text().splitlines()[since:]
        bad = (line for line in lines if "|WARN|" in line or "|ERR|" in line)
        return [line for line in bad if not any(word in line for word in noise)]


@contextlib.contextmanager
def central(directory: pathlib.Path) -> Iterator[Northd]:
    """Run both OVN databases and northd as long as the block lasts."""
    with (
        ovsdb_server(directory, "OVN_Northbound") as nb,
        ovsdb_server(directory, "OVN_Southbound") as sb,
    ):
        northd = Northd(directory, nb, sb)
        try:
            northd.settle()
            yield northd
        finally:
            northd.stop()


def columns_read(work: Callable[[], object]) -> int:
    """Return how many columns of rows are read while the work is done."""
    return calls_of(work, "__getattr__")
