"""Writes down every message of a cloud's bus, as RabbitMQ's own tracer hands out copies.

`python -m lab.tap URL FILE`. One message a line: its exchange, its routing keys and its body.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pathlib
import sys
from typing import Any

from lab import bus, services
from lab.boxes import Box, tail
from lab.layout import VENV, CloudPlan, Lab, LabError
from lab.services import Service

SERVICE = "bus-tap"
TRACER = "amq.rabbitmq.trace"


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What was published, and where to."""

    exchange: str
    routing_keys: tuple[str, ...]
    body: str


def start(lab: Lab, cloud: CloudPlan) -> None:
    """Begin to write down what is published on the cloud's bus."""
    box, file = Box(lab, cloud.central.name), _file(lab, cloud)
    file.unlink(missing_ok=True)
    box.run(["rabbitmqctl", "trace_on"])
    argv = (f"{VENV}/bin/python", "-m", "lab.tap", _url(cloud), str(file))
    services.start(box, Service(SERVICE, argv))
    services.wait(box, SERVICE, file.exists, 30, "no tap")


def stop(lab: Lab, cloud: CloudPlan) -> tuple[Message, ...]:
    """End it; return what was published meanwhile."""
    box, file = Box(lab, cloud.central.name), _file(lab, cloud)
    ran = services.stop(box, SERVICE)
    box.run(["rabbitmqctl", "trace_off"])
    if ran is None:
        raise LabError(f"the tap had ended; {tail(lab.log(box.name, SERVICE))}")
    lines = file.read_text().splitlines()
    file.unlink()
    found = [json.loads(line) for line in lines]
    return tuple(Message(exchange, tuple(keys), body) for exchange, keys, body in found)


def _url(cloud: CloudPlan) -> str:
    """Return the bus' URL as kombu reads it: oslo.messaging's own scheme is unknown to it."""
    return f"{bus.url(cloud).replace('rabbit:', 'amqp:')}/"


def _file(lab: Lab, cloud: CloudPlan) -> pathlib.Path:
    return lab.directory("taps") / cloud.name


def listen(url: str, file: pathlib.Path) -> None:
    """Write until the process is ended."""
    kombu: Any = importlib.import_module("kombu")  # it has no types
    exchange = kombu.Exchange(TRACER, "topic", no_declare=True)
    queue = kombu.Queue("lab-tap", exchange, "publish.#", exclusive=True)
    draft = file.with_suffix(".new")
    with kombu.Connection(url) as connection, draft.open("w") as out:

        def note(message: Any) -> None:
            headers = message.headers
            body = bytes(message.body).decode(errors="replace")
            line = headers["exchange_name"], headers["routing_keys"], body
            out.write(json.dumps(line) + "\n")
            out.flush()

        with kombu.Consumer(connection, queue, no_ack=True, on_message=note):
            draft.rename(file)  # from now on nothing is missed
            while True:
                connection.drain_events()


if __name__ == "__main__":
    listen(sys.argv[1], pathlib.Path(sys.argv[2]))
