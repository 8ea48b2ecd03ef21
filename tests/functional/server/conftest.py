"""A private MariaDB, and the real Neutron API on it."""

import subprocess

import pytest

from tests.functional.server import stage
from tests.functional.server.stage import LIMIT, Database, manage, served, wait_for
from tests.oracles.environments import environment


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Run MariaDB on a socket in a directory of its own."""
    directory = tmp_path_factory.mktemp("db")
    subprocess.run(
        [
            *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db"),
            *(f"--datadir={directory}/data", "--auth-root-authentication-method=normal"),
        ],
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *("mariadbd", "--no-defaults", "--user=root", f"--datadir={directory}/data"),
                *(f"--socket={directory}/socket", f"--pid-file={directory}/pid"),
                *("--skip-networking", "--innodb-flush-log-at-trx-commit=0"),
            ],
            stdout=log,
            stderr=log,
        )
    found = Database(directory)
    try:
        wait_for(lambda: _answers(found), process)
        yield found
    finally:
        process.terminate()
        process.wait(LIMIT)


def _answers(database):
    try:
        return database.sql("SELECT 1") == "1"
    except subprocess.CalledProcessError:
        return False


@pytest.fixture(scope="session")
def api(database, tmp_path_factory):
    """Serve Neutron's API on a loopback port."""
    directory = tmp_path_factory.mktemp("api")
    settings = database.migrated("api", directory)
    with served(settings) as found:
        yield found


@pytest.fixture(scope="session")
def cloud(api):
    """An external network, and a router with two subnets."""
    return stage.cloud(api)


@pytest.fixture
def parents(api, cloud):
    """A service and policies, as a connection names them."""
    return stage.parents(api, cloud)


@pytest.fixture
def settings_of_29(database, tmp_path):
    """A database whose VPN tables neutron-vpnaas 29 made, taken over."""
    settings = database.migrated(stage.INHERITED, tmp_path, "--subproject", "neutron")
    python = environment("vpnaas-29") / "bin" / "python"
    manage(settings, "--subproject", "neutron-vpnaas", "upgrade", "heads", python=python)
    manage(settings, "--subproject", "swanherd", "upgrade", "heads")
    yield settings
    database.sql(f"DROP DATABASE {stage.INHERITED}")
