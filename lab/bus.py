"""RabbitMQ, one in each cloud's central box, reached over the management network."""

from __future__ import annotations

import shutil
import socket

import amqp  # type: ignore[import-untyped]

from lab import services
from lab.boxes import Box
from lab.layout import BUS_PASSWORD, CloudPlan, Lab
from lab.netns import within
from lab.services import Service

SERVICE = "rabbitmq"
CONFIGURATION = """\
listeners.tcp.1 = 0.0.0.0:5672
default_user = swanherd
default_pass = {password}
log.console = true
log.console.level = info
log.file = false
"""


def url(cloud: CloudPlan) -> str:
    """Return oslo.messaging's URL of the cloud's bus."""
    return f"rabbit://swanherd:{BUS_PASSWORD}@{cloud.api_address}:5672/"


def start(lab: Lab, cloud: CloudPlan) -> None:
    """Start the bus; `wait` says when it answers."""
    box = Box(lab, cloud.central.name)
    home = box.directory / "root/var/lib/rabbitmq"
    configuration = home / "rabbitmq.conf"
    configuration.write_text(CONFIGURATION.format(password=BUS_PASSWORD))
    # As the packaged rabbitmqctl expects it: it becomes this user, and names no node.
    for path in (home, configuration, box.directory / "root/var/log/rabbitmq"):
        shutil.chown(path, "rabbitmq", "rabbitmq")
    configuration.chmod(0o600)
    box.run(["chown", "rabbitmq:rabbitmq", "/run/rabbitmq"])
    env = {
        "HOME": "/var/lib/rabbitmq",
        "RABBITMQ_PID_FILE": "/run/rabbitmq/pid",
        "RABBITMQ_LOG_BASE": "/var/log/rabbitmq",
        "RABBITMQ_MNESIA_BASE": "/var/lib/rabbitmq/mnesia",
        "RABBITMQ_CONFIG_FILE": "/var/lib/rabbitmq/rabbitmq.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "/dev/null",
        # One scheduler that doesn't spin: a lab shares its cores with a whole cloud.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
    user = ("setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--clear-groups")
    argv = (*user, "/usr/lib/rabbitmq/bin/rabbitmq-server")
    services.start(box, Service(SERVICE, argv, env))


def wait(lab: Lab, cloud: CloudPlan) -> None:
    """Wait until the bus takes connections."""
    box = Box(lab, cloud.central.name)
    services.wait(box, SERVICE, lambda: answers(lab, cloud), 90, "no answer on 5672")


def answers(lab: Lab, cloud: CloudPlan) -> bool:
    """Tell whether the bus takes connections now."""

    def connect() -> bool:
        try:
            socket.create_connection((cloud.api_address, 5672), timeout=2).close()
        except OSError:
            return False
        return True

    return within(Box(lab, cloud.central.name), connect)


def is_heard(lab: Lab, cloud: CloudPlan, topic: str) -> bool:
    """Tell whether somebody takes what is said on a topic now."""

    def ask() -> bool:
        host = f"{cloud.api_address}:5672"
        try:
            with amqp.Connection(host=host, userid="swanherd", password=BUS_PASSWORD) as asked:
                return bool(asked.channel().queue_declare(topic, passive=True).consumer_count)
        except (OSError, amqp.exceptions.AMQPError):
            return False

    return within(Box(lab, cloud.central.name), ask)
