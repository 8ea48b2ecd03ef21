"""Keystone on SQLite in each cloud's central box; what it holds comes from a cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
import pathlib
import shutil
import sqlite3
from typing import Any

from cryptography.fernet import Fernet

from lab import wsgi
from lab.boxes import Box
from lab.clients import connect
from lab.database import forget_old
from lab.layout import (
    ADMIN_PASSWORD,
    CACHE,
    SERVICE_PASSWORD,
    USER_PASSWORD,
    VENV,
    CloudPlan,
    Lab,
)
from lab.netns import within

SERVICE = "keystone"
USERS = ("demo", "other")  # each with an ordinary project of the same name
CONFIGURATION = """\
[database]
connection = sqlite:///{home}/keystone.sqlite
[identity]
# The cheapest hash there is: these passwords protect nothing, and each login pays for it.
password_hash_rounds = 4
[token]
provider = fernet
[fernet_tokens]
key_repository = {home}/fernet
[fernet_receipts]
# Keystone loads this provider too; by default its keys are those of the machine's own Keystone.
key_repository = {home}/fernet
[credential]
key_repository = {home}/credential
[cache]
enabled = true
backend = dogpile.cache.memory
"""


def start(lab: Lab, cloud: CloudPlan) -> str:
    """Start Keystone with its users, services and endpoints; return where they came from."""
    box = Box(lab, cloud.central.name)
    home = box.directory / "keystone"
    kept = CACHE / f"keystone-{cloud.name}-{cache_key(cloud)}"
    cached = kept.exists()
    if cached:
        shutil.copytree(kept, home)
        kept.touch()
    else:
        for part in ("fernet", "credential"):
            _make_keys(home / part)
    configuration = home / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(home=home))
    if not cached:
        _bootstrap(box, configuration, cloud)
    env = {
        "OS_KEYSTONE_CONFIG_FILES": str(configuration),
        "OS_KEYSTONE_CONFIG_DIR": str(home),
    }
    wsgi.start(box, SERVICE, "keystone.wsgi.api:application", 5000, env)
    if cached:
        return "users from the cache"
    wait(lab, cloud)
    within(box, lambda: _seed(lab, cloud))
    _keep(lab, home, kept)
    forget_old(f"keystone-{cloud.name}-*")
    return "users made"


def wait(lab: Lab, cloud: CloudPlan) -> None:
    """Wait until Keystone answers."""
    wsgi.wait(lab, cloud, SERVICE, 5000, "/v3")


def cache_key(cloud: CloudPlan) -> str:
    """Return what Keystone's contents depend on, as a digest."""
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for distribution in ("keystone", "SQLAlchemy", "alembic"):
        digest.update(importlib.metadata.version(distribution).encode())
    for part in (cloud.api_address, ADMIN_PASSWORD, SERVICE_PASSWORD, USER_PASSWORD):
        digest.update(part.encode())
    return digest.hexdigest()[:16]


def _make_keys(repository: pathlib.Path) -> None:
    """Make a staged (0) and a primary key (1), as keystone-manage would in seconds of its own."""
    repository.mkdir(parents=True, mode=0o700)
    for name in ("0", "1"):
        (repository / name).write_bytes(Fernet.generate_key())
        (repository / name).chmod(0o600)


def _bootstrap(box: Box, configuration: pathlib.Path, cloud: CloudPlan) -> None:
    manage = [f"{VENV}/bin/keystone-manage", "--config-file", str(configuration)]
    box.run([*manage, "db_sync"], timeout=120)
    url = f"http://{cloud.api_address}:5000/v3"
    urls = [f"--bootstrap-{kind}-url" for kind in ("admin", "internal", "public")]
    box.run(
        [*manage, "bootstrap", "--bootstrap-region-id", "RegionOne"]
        + [part for option in urls for part in (option, url)],
        env={"OS_BOOTSTRAP_PASSWORD": ADMIN_PASSWORD},
        timeout=120,
    )


def _seed(lab: Lab, cloud: CloudPlan) -> None:
    identity = connect(lab, f"admin-{cloud.name}").identity
    roles: dict[str, Any] = {r.name: r for r in identity.roles()}
    service = identity.create_project(name="service", domain_id="default")
    neutron = identity.create_user(name="neutron", password=SERVICE_PASSWORD, domain_id="default")
    for role in ("admin", "service"):
        identity.assign_project_role_to_user(service, neutron, roles[role])
    network = identity.create_service(name="neutron", type="network")
    for interface in ("public", "internal", "admin"):
        identity.create_endpoint(
            service_id=network.id,
            interface=interface,
            region_id="RegionOne",
            url=f"http://{cloud.api_address}:9696",
        )
    for name in USERS:
        project = identity.create_project(name=name, domain_id="default")
        user = identity.create_user(name=name, password=USER_PASSWORD, domain_id="default")
        identity.assign_project_role_to_user(project, user, roles["member"])


def _keep(lab: Lab, home: pathlib.Path, kept: pathlib.Path) -> None:
    """Put Keystone's contents into the cache."""
    copy = lab.unfinished(kept.name)
    copy.mkdir(mode=0o700)
    for part in ("fernet", "credential"):
        shutil.copytree(home / part, copy / part)
    with (
        sqlite3.connect(home / "keystone.sqlite") as live,
        sqlite3.connect(copy / "keystone.sqlite") as target,
    ):
        live.backup(target)
    live.close()
    target.close()
    try:
        copy.rename(kept)
    except OSError:  # another lab was faster
        shutil.rmtree(copy)
