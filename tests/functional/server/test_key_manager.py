"""Keys at rest that a key manager has: Barbican, which castellan asks as its user."""

import base64
import contextlib
import os
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from lab.keystone import CONFIGURATION
from tests.functional.server import stage
from tests.functional.server.stage import BIN, HERE, LIMIT, connection, served, wait_for
from tests.oracles.environments import environment

# Two more services, and an environment of their own.
pytestmark = pytest.mark.long

PSK = "a-key-under-a-managed-key"
PASSWORD = "the lab's"
COLLECTION, RESOURCE = "vpn/ipsec-site-connections", "ipsec_site_connection"

USER = """
auth_type = {auth_type}
auth_url = {keystone}
username = admin
password = {password}
project_name = admin
user_domain_name = Default
project_domain_name = Default
"""

BARBICAN = """
[DEFAULT]
host_href = http://127.0.0.1
db_auto_create = True
[database]
connection = sqlite:///{folder}/barbican.sqlite
[simple_crypto_plugin]
kek = {kek}
[keystone_authtoken]
www_authenticate_uri = {keystone}
"""

MANAGED = """
[key_manager]
backend = barbican
{user}
[barbican]
auth_endpoint = {keystone}
barbican_endpoint = {barbican}
[swanherd]
psk_keys =
psk_key_ids = {ids}
"""

STORE = """
import sys
from castellan import key_manager
from castellan.common import utils
from castellan.common.objects import symmetric_key
from oslo_config import cfg

cfg.CONF(["--config-file", sys.argv[1]], project="none")
manager, who = key_manager.API(cfg.CONF), utils.credential_factory(cfg.CONF)
for key in sys.argv[2:]:
    print(manager.store(who, symmetric_key.SymmetricKey("AES", 256, bytes.fromhex(key))))
"""


@contextlib.contextmanager
def running(folder, name, where, python, **env):
    """Serve an application while the context lasts; its URL."""
    port = folder / f"{name}.port"
    with (folder / f"{name}.log").open("a") as log:
        process = subprocess.Popen(
            [python, "-W", "ignore", HERE / "serve_wsgi.py", where, port],
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(port.exists, process)
        yield f"http://127.0.0.1:{port.read_text()}"
    finally:
        process.terminate()
        process.wait(LIMIT)


def run(*command, **env):
    """Run a program and return its output."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def theirs():
    """Return the Python that has castellan and Barbican."""
    return environment("barbican") / "bin" / "python"


@pytest.fixture(scope="module")
def keystone(tmp_path_factory):
    """Serve Keystone with an administrator."""
    folder = tmp_path_factory.mktemp("keystone")
    for part in ("fernet", "credential"):
        (folder / part).mkdir(mode=0o700)
        for name in "01":
            (folder / part / name).write_bytes(Fernet.generate_key())
            (folder / part / name).chmod(0o600)
    settings = folder / "keystone.conf"
    settings.write_text(CONFIGURATION.format(home=folder))
    manage = (BIN / "keystone-manage", "--config-file", settings)
    run(*manage, "db_sync")
    env = {"OS_KEYSTONE_CONFIG_FILES": str(settings), "OS_KEYSTONE_CONFIG_DIR": str(folder)}
    with running(
        folder, "keystone", "keystone.wsgi.api:application", sys.executable, **env
    ) as url:
        kinds = ("admin", "internal", "public")
        catalog = [part for kind in kinds for part in (f"--bootstrap-{kind}-url", f"{url}/v3")]
        region = ("--bootstrap-region-id", "RegionOne")
        run(*manage, "bootstrap", *region, *catalog, OS_BOOTSTRAP_PASSWORD=PASSWORD)
        yield f"{url}/v3"


@pytest.fixture(scope="module")
def barbican(tmp_path_factory, keystone, theirs):
    """Serve Barbican; `oslo.config` finds its file below a home."""
    home = tmp_path_factory.mktemp("barbican")
    folder = home / ".barbican"
    folder.mkdir()
    user = USER.format(auth_type="password", keystone=keystone, password=PASSWORD)
    kek = base64.urlsafe_b64encode(b"k" * 32).decode()
    text = BARBICAN.format(folder=folder, kek=kek, keystone=keystone) + user
    (folder / "barbican.conf").write_text(text)
    paste = theirs.parent.parent / "etc/barbican/barbican-api-paste.ini"
    with running(folder, "barbican", str(paste), theirs, HOME=str(home)) as url:
        yield url


@pytest.fixture(scope="module")
def managed(tmp_path_factory, keystone, barbican, theirs):
    """Return settings, and two keys that Barbican has, by id."""
    folder = tmp_path_factory.mktemp("managed")
    user = USER.format(auth_type="keystone_password", keystone=keystone, password=PASSWORD)

    def settings(ids=()):
        return MANAGED.format(user=user, keystone=keystone, barbican=barbican, ids=",".join(ids))

    (folder / "none.conf").write_text(settings())
    keys = [bytes([n]) * 32 for n in (7, 8)]
    hexes = [key.hex() for key in keys]
    ids = run(theirs, "-W", "ignore", "-c", STORE, folder / "none.conf", *hexes).split()
    return settings, dict(zip(ids, keys, strict=True))


def test_keys_of_a_key_manager_encrypt_and_are_rotated(
    database, tmp_path_factory, managed, theirs
):
    """The server asks for them by id, at start; `swanherdctl secrets rotate` does too."""
    settings, keys = managed
    first, second = keys
    folder = tmp_path_factory.mktemp("managing")
    ours = database.migrated("managing", folder)
    plain = ours.read_text()

    def token(made):
        return database.sql(f"SELECT token FROM managing.swanherd_secrets WHERE id='{made['id']}'")

    def cipher(key_id):
        return Fernet(base64.urlsafe_b64encode(keys[key_id]))

    ours.write_text(plain + settings([first]))
    with served(ours, theirs) as api:
        cloud = stage.cloud(api)
        parents = stage.parents(api, cloud)
        made = api.create(COLLECTION, RESOURCE, **connection(parents, psk=PSK))
        assert cipher(first).decrypt(token(made)).decode() == PSK
        ours.write_text(plain + settings([second, first]))
        script = "from swanherd.cmd.swanherdctl import main; raise SystemExit(main())"
        run(theirs, "-W", "ignore", "-c", script, "secrets", "rotate", "--config-file", ours)
        assert cipher(second).decrypt(token(made)).decode() == PSK
    ours.write_text(plain + settings([second]))
    with served(ours, theirs) as api:
        assert api.request("GET", f"{COLLECTION}/{made['id']}")[1][RESOURCE]["psk"] == PSK
