"""Long-running programs in a box, by name: started, stopped and found again by any process."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lab.boxes import Box, environment, tail
from lab.layout import LabError
from lab.processes import Process, kill, processes, reap, spawn, wait_for, wait_gone

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """How a service is started.

    `alone`: stopping it ends only its main process; what it started lives on, as on a host
    (an agent's charons). Otherwise its whole session goes with it.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    alone: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A started service; `holder` is the nsenter around its main process."""

    service: Service
    holder: Process

    def main(self) -> Process | None:
        """Return its main process."""
        found = self.holder.children() if self.holder.alive else []
        return found[0] if found else None


def _record(box: Box, name: str) -> pathlib.Path:
    return box.lab.directory("services", box.name) / f"{name}.json"


def start(box: Box, service: Service) -> None:
    """Start a service; its output goes to its log."""
    reap()
    log = box.lab.log(box.name, service.name)
    holder = spawn(box.enter_argv(service.argv), environment(service.env), log)
    data = dataclasses.asdict(Running(service, holder))
    _record(box, service.name).write_text(json.dumps(data))


def running(box: Box, name: str) -> Running:
    """Return a service that was started once, alive or not."""
    try:
        data: dict[str, Any] = json.loads(_record(box, name).read_text())
    except FileNotFoundError:
        raise LabError(f"box {box.name} has no service {name}; it has {names(box)}") from None
    return Running(Service(**data["service"]), Process(**data["holder"]))


def names(box: Box) -> list[str]:
    """Return the names of all services that were started in the box."""
    directory = box.lab.state / "services" / box.name
    return sorted(p.stem for p in directory.glob("*.json"))


def alive(box: Box, name: str) -> bool:
    """Whether a service runs."""
    return running(box, name).main() is not None


def stop(
    box: Box, name: str, sig: signal.Signals = signal.SIGTERM, limit: float = 30
) -> Process | None:
    """Signal a service and wait (seconds) for its end; killed if it doesn't obey.

    Return the main process that it had.
    """
    was = running(box, name)
    main = was.main()
    if main is None:
        return None
    started = [p for p in processes() if p.session == was.holder.session and p.pid != main.pid]
    main.send(sig)
    if not wait_gone([main], limit):
        main.send(signal.SIGKILL)
        wait_gone([main], 10)
    if not was.service.alone:
        kill(p for p in started if p.pid != was.holder.pid)
    wait_gone([was.holder], 10)
    reap()
    return main


def restart(box: Box, name: str, sig: signal.Signals = signal.SIGTERM) -> None:
    """Stop a service, if it runs, and start it as before."""
    stop(box, name, sig)
    start(box, running(box, name).service)


def wait(box: Box, name: str, ready: Callable[[], T | None], limit: float, what: str) -> T:
    """Wait (seconds) until a service is ready; a LabError names its log and shows its end."""
    was = running(box, name)

    def condition() -> T | None:
        answer = ready()
        if not answer and not was.holder.alive:
            raise LabError(f"{box.name}: {name} ended")
        return answer

    try:
        return wait_for(condition, limit, f"{box.name}: {name}: {what}")
    except LabError as error:
        raise LabError(f"{error}; {tail(box.lab.log(box.name, name))}") from None


def check(box: Box) -> None:
    """Raise LabError if a service of the box has ended; it shows the end of its log."""
    for name in names(box):
        if not running(box, name).holder.alive:
            raise LabError(f"{box.name}: {name} ended; {tail(box.lab.log(box.name, name))}")
