"""MariaDB for both clouds, on a socket in the lab's state; schemas come from a cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
import pathlib
import shutil
import subprocess
from collections.abc import Callable

from lab import services
from lab.boxes import Box
from lab.layout import (
    CACHE,
    DATABASE_PASSWORD,
    FABRIC_BOX,
    NEWEST,
    ROOT,
    CloudPlan,
    Lab,
    LabError,
)
from lab.services import Service

MIGRATIONS = ROOT / "src/swanherd/server/db"
SERVICE = "mariadb"


def url(lab: Lab, cloud: CloudPlan) -> str:
    """Return SQLAlchemy's URL of a cloud's Neutron database."""
    return (
        f"mysql+pymysql://lab:{DATABASE_PASSWORD}@localhost/neutron_{cloud.name}"
        f"?unix_socket={lab.database_socket}&charset=utf8mb4"
    )


def cache_key(lab: Lab) -> str:
    """Return what the contents of the databases depend on, as a digest."""
    digest = hashlib.sha256()
    for distribution in ("neutron", "neutron-lib", "alembic", "SQLAlchemy"):
        digest.update(f"{distribution} {importlib.metadata.version(distribution)}\n".encode())
    for cloud in lab.clouds:
        digest.update(f"{cloud.name} {cloud.release} {cloud.predecessor}\n".encode())
        if cloud.release != NEWEST:
            digest.update((ROOT / f"lab/constraints-neutron-{cloud.release}.txt").read_bytes())
    digest.update(_version_of_server().encode())
    digest.update(pathlib.Path(__file__).read_bytes())
    if lab.shape.swanherd:
        for path in sorted(MIGRATIONS.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def start(lab: Lab, migrate: Callable[[CloudPlan], None]) -> str:
    """Start MariaDB with both clouds' schemas; `migrate` makes them if no cache has them.

    Return where the schemas came from.
    """
    data = lab.state / "mysql"
    kept = CACHE / f"mysql-{cache_key(lab)}"
    if kept.exists():
        subprocess.run(["cp", "-a", "--sparse=always", str(kept), str(data)], check=True)
        kept.touch()
        _start_server(lab, data)
        return "schemas from the cache"
    _initialise(lab, data)
    _start_server(lab, data)
    first, second = lab.clouds
    sql(lab, "".join(_create(cloud) for cloud in lab.clouds))
    migrate(first)
    if (first.release, first.predecessor) == (second.release, second.predecessor):
        _copy_database(lab, f"neutron_{first.name}", f"neutron_{second.name}")
    else:
        migrate(second)
    _keep(lab, data, kept)
    return "schemas migrated"


def sql(lab: Lab, statements: str, database: str = "") -> str:
    """Run SQL as the database's root and return the rows as text."""
    argv = ["mariadb", "-uroot", f"--socket={lab.database_socket}", "--batch", "-N"]
    box = Box(lab, FABRIC_BOX)
    return box.run([*argv, *filter(None, [database])], input=statements, timeout=120).stdout


def _version_of_server() -> str:
    return subprocess.run(
        ["mariadbd", "--version"], check=True, capture_output=True, text=True
    ).stdout


def _initialise(lab: Lab, data: pathlib.Path) -> None:
    Box(lab, FABRIC_BOX).run(
        [
            *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        ]
    )


def _start_server(lab: Lab, data: pathlib.Path) -> None:
    argv = (
        *("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}"),
        *(f"--socket={lab.database_socket}", f"--pid-file={lab.state}/mysql.pid"),
        *("--skip-networking", "--skip-log-bin", "--max-connections=300"),
        # A lab's rows needn't survive a power cut: no fsync, little memory.
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--skip-sync-frm"),
        *("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=32M"),
        *("--performance-schema=off", "--innodb-flush-method=nosync"),
        *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"),
    )
    services.start(Box(lab, FABRIC_BOX), Service(SERVICE, argv))
    wait_for_server(lab)


def wait_for_server(lab: Lab) -> None:
    """Wait until MariaDB answers."""
    box = Box(lab, FABRIC_BOX)
    ping = ["mariadb-admin", "-uroot", f"--socket={lab.database_socket}", "ping"]
    services.wait(box, SERVICE, lambda: not box.run(ping, check=False).returncode, 60, "no answer")


def _create(cloud: CloudPlan) -> str:
    name = f"neutron_{cloud.name}"
    who = f"lab@localhost identified by '{DATABASE_PASSWORD}'"
    return f"create database {name}; grant all on {name}.* to {who};\n"


def _copy_database(lab: Lab, source: str, target: str) -> None:
    argv = ["mariadb-dump", "-uroot", f"--socket={lab.database_socket}", source]
    dump = Box(lab, FABRIC_BOX).run(argv, timeout=120).stdout
    sql(lab, dump, target)


def _keep(lab: Lab, data: pathlib.Path, kept: pathlib.Path) -> None:
    """Put the data directory of the cleanly stopped server into the cache."""
    box = Box(lab, FABRIC_BOX)
    services.stop(box, SERVICE)
    copy = lab.unfinished("mysql")
    subprocess.run(["cp", "-a", "--sparse=always", str(data), str(copy)], check=True)
    try:
        copy.rename(kept)
    except OSError:  # another lab was faster
        shutil.rmtree(copy)
    forget_old("mysql-*")
    services.restart(box, SERVICE)
    wait_for_server(lab)


def forget_old(pattern: str, keep: int = 4) -> None:
    """Remove all but the most recently used entries of a cache."""
    entries = sorted(CACHE.glob(pattern), key=lambda p: p.stat().st_mtime, reverse=True)
    for entry in entries[keep:]:
        shutil.rmtree(entry, ignore_errors=True)


def migrate(lab: Lab, cloud: CloudPlan, box: Box, configuration: pathlib.Path) -> None:
    """Bring a cloud's Neutron database to the newest schema, the VPN service's included."""
    ours = "neutron-vpnaas" if cloud.predecessor else "swanherd"
    for project in ("neutron", ours) if lab.shape.swanherd else ("neutron",):
        argv = [*cloud.program("neutron-db-manage"), "--config-file", str(configuration)]
        done = box.run(
            [*argv, "--subproject", project, "upgrade", "heads"], check=False, timeout=180
        )
        log = lab.log(box.name, f"db-manage-{project}")
        log.write_text(done.stdout + done.stderr)
        if done.returncode:
            raise LabError(f"{box.name}: migrations of {project} failed; log {log}\n{done.stderr}")
