"""Horizon with the dashboard's panel, on both clouds: it runs in the user's box.

`python -m lab.horizon` brings it up on a lab that is up and prints its address, on the machine's
loopback. The environment with Horizon in it is made before: `make test-dashboard-short`, or
`make demo DASHBOARD=1`.
"""

from __future__ import annotations

import http.client
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

from lab import services
from lab.boxes import Box, environment
from lab.layout import ADMIN_PASSWORD, ROOT, USER_BOX, USER_PASSWORD, VENV, Lab, LabError
from lab.netns import within
from lab.processes import spawn, wait_for
from lab.services import Service

SERVICE = "horizon"
PORT = 8008  # of the user's box, and of the machine's loopback if it is free there
ENVIRONMENT = ROOT / "build" / "oracles" / "horizon"
PLUGIN = ROOT / "dashboard" / "src" / "swanherd_dashboard"
SETTINGS = """\
from openstack_dashboard.local import enabled as _enabled
from openstack_dashboard.settings import HORIZON_CONFIG as _config

_enabled.__path__.append({enabled!r})
SECRET_KEY = "the lab's own, and nobody else's"
ALLOWED_HOSTS = ["*"]
DEBUG = False
OPENSTACK_KEYSTONE_URL = {keystones[0][0]!r}
AVAILABLE_REGIONS = {keystones!r}
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = {sessions!r}
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}}}
STATIC_ROOT = {static!r}
COMPRESS_OFFLINE = True
_config["user_home"] = "/project/swanherd/"
LOGGING = {{
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
    "root": {{"handlers": ["console"], "level": {level!r}}},
}}
"""


def start(lab: Lab, *, stock: bool = False, level: str = "WARNING") -> str:
    """Start Horizon on a lab that is up; return its address in the user's box.

    With `stock` the panel of neutron-vpnaas-dashboard keeps its menu entry beside ours.
    """
    if not ENVIRONMENT.exists():
        raise LabError(
            "there is no Horizon: .venv/bin/python -m tests.oracles.environments horizon"
        )
    box, home = Box(lab, USER_BOX), lab.directory("horizon")
    if SERVICE in services.names(box):
        services.stop(box, SERVICE)
    _configure(lab, home, stock=stock, level=level)
    for command in (("collectstatic", "--noinput", "--verbosity", "0"), ("compress", "--force")):
        _manage(home, command)
    services.start(box, Service(SERVICE, _server(home), _environment(home)))
    wanted = f"no answer on {PORT}"
    services.wait(box, SERVICE, lambda: within(box, _answers), 60, wanted)
    return f"http://127.0.0.1:{PORT}"


def publish(lab: Lab) -> str:
    """Let the machine's loopback lead to Horizon; return its address there.

    What leads there ends with the lab.
    """
    home = lab.directory("horizon")
    told = home / "port"
    if told.exists() and _answers(int(told.read_text())):
        return f"http://127.0.0.1:{told.read_text()}/"
    told.unlink(missing_ok=True)
    argv = [f"{VENV}/bin/python", "-m", "lab.doorway", str(PORT), str(home / "http"), str(told)]
    spawn(argv, environment(), lab.log(USER_BOX, "doorway"))
    wait_for(told.exists, 10, f"the way to Horizon; {lab.log(USER_BOX, 'doorway')}")
    return f"http://127.0.0.1:{told.read_text()}/"


def invite(address: str) -> str:
    """Return what a person needs to log in."""
    return (
        f"Horizon: {address}   (choose the cloud as region)\n"
        f"  users  demo and other, password {USER_PASSWORD}; admin, password {ADMIN_PASSWORD};"
        " domain Default"
    )


def _configure(lab: Lab, home: pathlib.Path, *, stock: bool, level: str) -> None:
    enabled, local = home / "enabled", home / "local"
    for folder in (enabled, local):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (home / "sessions").mkdir(exist_ok=True, mode=0o700)
    theirs = next(ENVIRONMENT.glob("lib/*/site-packages/neutron_vpnaas_dashboard"))
    # As a deployer does it: files into a folder of enabled ones.
    for plugin in (theirs, PLUGIN):
        for path in (plugin / "enabled").glob("_7*.py"):
            if not (stock and "instead" in path.name):
                shutil.copy(path, enabled)
    (local / "__init__.py").touch()
    keystones = [(f"http://{c.api_address}:5000/v3", f"cloud {c.name}") for c in lab.clouds]
    text = SETTINGS.format(
        enabled=str(enabled),
        keystones=keystones,
        sessions=str(home / "sessions"),
        static=str(home / "static"),
        level=level,
    )
    (local / "local_settings.py").write_text(text)


def _environment(home: pathlib.Path) -> dict[str, str]:
    sources = (home, ROOT / "dashboard" / "src", ROOT / "client" / "src", ROOT)
    return {
        "PYTHONPATH": ":".join(map(str, sources)),
        "DJANGO_SETTINGS_MODULE": "openstack_dashboard.settings",
    }


def _manage(home: pathlib.Path, command: Sequence[str]) -> None:
    argv = [str(ENVIRONMENT / "bin" / "django-admin"), *command]
    env = environment(_environment(home))
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()[-800:]}")


def _server(home: pathlib.Path) -> tuple[str, ...]:
    return (
        *(f"{VENV}/bin/uwsgi", "--http-socket", str(home / "http")),
        *("--http-socket", f"127.0.0.1:{PORT}", "--virtualenv", str(ENVIRONMENT)),
        *("--master", "--no-orphans", "--processes", "1", "--threads", "8", "--enable-threads"),
        *("--lazy-apps", "--need-app", "--die-on-term", "--buffer-size", "65535"),
        *("--add-header", "Connection: close", "--disable-logging"),
        *("--static-map", f"/static={home / 'static'}"),
        *("--module", "openstack_dashboard.wsgi:application"),
    )


def _answers(port: int = PORT) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/auth/login/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Bring Horizon up and say where."""
    lab = Lab.named()
    try:
        start(lab, stock=bool(os.environ.get("STOCK")))
        print(invite(publish(lab)))
    except LabError as error:
        print(f"horizon: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
