"""The web services of a cloud under uWSGI, and whether they answer."""

from __future__ import annotations

import http.client
import pathlib
import time
from collections.abc import Mapping

from lab import services
from lab.boxes import Box
from lab.layout import VENV, CloudPlan, Lab
from lab.netns import within
from lab.services import Service


def start(
    box: Box, name: str, module: str, port: int, env: Mapping[str, str], home: pathlib.Path = VENV
) -> None:
    """Start one web service of an environment, with one process of several threads."""
    argv = (
        *(f"{VENV}/bin/uwsgi", "--http-socket", f"0.0.0.0:{port}", "--master", "--no-orphans"),
        *("--processes", "1", "--threads", "8", "--enable-threads", "--lazy-apps"),
        *("--need-app", "--die-on-term", "--buffer-size", "65535", "--http-timeout", "300"),
        # uWSGI's plain HTTP closes kept-alive connections unasked: clients must not reuse them.
        *(
            "--add-header",
            "Connection: close",
            "--set",
            f"start-time={time.time():.0f}",
            "--disable-logging",
        ),
        *("--log-4xx", "--log-5xx", "--home", str(home), "--module", module),
    )
    services.start(box, Service(name, argv, env))


def wait(lab: Lab, cloud: CloudPlan, name: str, port: int, path: str = "/") -> None:
    """Wait until a web service of the cloud answers."""
    box = Box(lab, cloud.central.name)
    services.wait(box, name, lambda: answers(lab, cloud, port, path), 120, f"no answer on {port}")


def answers(lab: Lab, cloud: CloudPlan, port: int, path: str = "/") -> bool:
    """Tell whether a web service of the cloud answers now."""

    def ask() -> bool:
        connection = http.client.HTTPConnection(cloud.api_address, port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return within(Box(lab, cloud.central.name), ask)
