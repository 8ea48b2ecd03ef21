"""A bus that loses, repeats and delays messages, for tests: how a process is put on it.

`wrapped(service)` starts the service with this module loaded, which lets every message that the
process sends (calls, casts, answers) pass `Faults` first. They follow a file, so that faults begin
and end while the process runs. Nothing of this is in the product.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib.abc
import importlib.util
import itertools
import json
import os
import pathlib
import runpy
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from lab.boxes import Box
from lab.layout import VENV
from lab.services import Service

DRIVER = "oslo_messaging._drivers.amqpdriver"
FILE = "LAB_BUS_FAULTS"  # the environment variable that names the file


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """Every nth message of a process is lost, sent twice, or late by `delay` seconds."""

    drop: int = 0
    repeat: int = 0
    late: int = 0
    delay: float = 2.0


def rule(box: Box, faults: Faults) -> None:
    """Let the faults rule every message of wrapped processes of the box from now on."""
    draft = _file(box).with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(faults)))
    draft.replace(_file(box))


def wrapped(box: Box, service: Service) -> Service:
    """Return the service, on the faulty bus."""
    program, *arguments = service.argv
    env = {**service.env, FILE: str(_file(box))}
    if pathlib.Path(program).name == "uwsgi":
        argv = (program, "--import", "lab.faulty_bus", *arguments)
    else:
        argv = (f"{VENV}/bin/python", "-m", "lab.faulty_bus", program, *arguments)
    return dataclasses.replace(service, argv=argv, env=env)


def _file(box: Box) -> pathlib.Path:
    return box.directory / "bus-faults.json"


class _Verdict(enum.Enum):
    PASS = enum.auto()
    DROP = enum.auto()
    REPEAT = enum.auto()
    LATE = enum.auto()


class _Judge:
    """Says what becomes of each message of this process, as the file has it at that moment."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self._numbers = itertools.count(1)

    def next(self) -> tuple[_Verdict, float]:
        """Return what becomes of the next message, and by how many seconds it is late."""
        try:
            faults = Faults(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return _Verdict.PASS, 0
        number = next(self._numbers)
        every = {
            _Verdict.DROP: faults.drop,
            _Verdict.REPEAT: faults.repeat,
            _Verdict.LATE: faults.late,
        }
        hit = (verdict for verdict, nth in every.items() if nth and not number % nth)
        return next(hit, _Verdict.PASS), faults.delay


class _WhenImported(importlib.abc.MetaPathFinder):
    """Puts the process on the faulty bus once it imports the driver, and imports nothing before.

    Neutron chooses what oslo.service runs on before anything else may import oslo.messaging.
    """

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Return the driver's spec, with our work after its own."""
        if fullname != DRIVER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def then(module: Any) -> None:
            execute(module)
            _install(module, _Judge(self._file))

        spec.loader.exec_module = then  # type: ignore[method-assign]
        return spec


def _install(amqpdriver: Any, judge: _Judge) -> None:
    driver, answer = amqpdriver.AMQPDriverBase, amqpdriver.AMQPIncomingMessage
    # The narrowest place that every message passes.
    driver._send = _sending(judge, driver._send)  # noqa: SLF001
    answer._send_reply = _answering(judge, answer._send_reply)  # noqa: SLF001


def _sending(judge: _Judge, send: Callable[..., Any]) -> Callable[..., Any]:
    """Return what sends calls and casts."""

    def faulty(
        driver: Any,
        target: Any,
        context: Any,
        message: Any,
        wait: Any = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        wait = more.pop("wait_for_reply", wait)
        verdict, delay = judge.next()

        def go(answered: Any = wait) -> Any:
            return send(driver, target, context, dict(message), answered, *rest, **more)

        if verdict is _Verdict.DROP:
            if not wait:
                return None
            import oslo_messaging

            time.sleep(rest[0] if rest and rest[0] else more.get("timeout") or 15)
            raise oslo_messaging.MessagingTimeout("dropped by the lab")
        if verdict is _Verdict.LATE and not wait:
            threading.Timer(delay, go).start()  # others overtake it
            return None
        if verdict is _Verdict.LATE:
            time.sleep(delay)
        if verdict is _Verdict.REPEAT:
            go(None)
        return go()

    return faulty


def _answering(judge: _Judge, send: Callable[..., Any]) -> Callable[..., Any]:
    """Return what sends the answers of calls."""

    def faulty(*arguments: Any, **options: Any) -> None:
        verdict, delay = judge.next()
        if verdict is _Verdict.DROP:
            return
        if verdict is _Verdict.LATE:
            time.sleep(delay)
        for _ in range(2 if verdict is _Verdict.REPEAT else 1):
            send(*arguments, **options)

    return faulty


if os.environ.get(FILE):
    sys.meta_path.insert(0, _WhenImported(pathlib.Path(os.environ[FILE])))
    if __name__ == "__main__":
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
