"""Long-running programs in a box, by name: started, stopped and found again by any process."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lab.boxes import Box, tail
from lab.layout import LabError
from lab.processes import Process, kill, processes, wait_for, wait_gone

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """How a service is started.

    `alone`: stopping it ends only itself; what it started lives on, as on a host (an agent's
    charons). Otherwise its whole session goes with it.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    alone: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """A service that was started once, and its main process, alive or not."""

    service: Service
    main: Process


# The program replaces the shell that told its process id and moved its output to the log.
_LAUNCH = 'echo $$; exec "$@" >>"$0" 2>&1 </dev/null'


def start(box: Box, service: Service) -> None:
    """Start a service as a child of the box's process 1; its output goes to its log."""
    log = box.lab.log(box.name, service.name)
    launch = ["setsid", "--fork", "sh", "-c", _LAUNCH, str(log), *service.argv]
    number = int(box.run(launch, env=service.env).stdout)
    main = box.process(number)
    if main is None:
        raise LabError(f"{box.name}: {service.name} ended at once; {tail(log)}")
    data = dataclasses.asdict(Started(service, main))
    _record(box, service.name).write_text(json.dumps(data))


def _record(box: Box, name: str) -> pathlib.Path:
    return box.lab.directory("services", box.name) / f"{name}.json"


def find(box: Box, name: str) -> Started:
    """Return a service that was started once."""
    try:
        data: dict[str, Any] = json.loads(_record(box, name).read_text())
    except FileNotFoundError:
        raise LabError(f"box {box.name} has no service {name}; it has {names(box)}") from None
    return Started(Service(**data["service"]), Process(**data["main"]))


def names(box: Box) -> list[str]:
    """Return the names of all services that were started in the box."""
    directory = box.lab.state / "services" / box.name
    return sorted(p.stem for p in directory.glob("*.json"))


def alive(box: Box, name: str) -> bool:
    """Whether a service runs."""
    return find(box, name).main.alive


def stop(
    box: Box, name: str, sig: signal.Signals = signal.SIGTERM, limit: float = 30
) -> Process | None:
    """Signal a service and wait (seconds) for its end; killed if it doesn't obey.

    Return the main process that it had, None if it had already ended.
    """
    was = find(box, name)
    main = was.main
    if not main.alive:
        return None
    session = [p for p in processes() if p.session == main.pid and p.pid != main.pid]
    # A worker whose main process was killed goes on for seconds, beside its successor.
    workers = main.workers() if sig is signal.SIGKILL else []
    main.send(sig)
    if not wait_gone([main], limit):
        kill([main])
    kill(workers)
    if not was.service.alone:
        kill(session)
    return main


def restart(box: Box, name: str, sig: signal.Signals = signal.SIGTERM) -> None:
    """Stop a service, if it runs, and start it as before."""
    stop(box, name, sig)
    start(box, find(box, name).service)


def wait(box: Box, name: str, ready: Callable[[], T | None], limit: float, what: str) -> T:
    """Wait (seconds) until a service is ready; a LabError names its log and shows its end."""
    main = find(box, name).main

    def condition() -> T | None:
        answer = ready()
        if not answer and not main.alive:
            raise LabError(f"{box.name}: {name} ended")
        return answer

    try:
        return wait_for(condition, limit, f"{box.name}: {name}: {what}")
    except LabError as error:
        raise LabError(f"{error}; {tail(box.lab.log(box.name, name))}") from None


def check(box: Box) -> None:
    """Raise LabError if a service of the box has ended; it shows the end of its log."""
    for name in names(box):
        if not alive(box, name):
            raise LabError(f"{box.name}: {name} ended; {tail(box.lab.log(box.name, name))}")
