"""Keys at rest: encrypted, rotated, hidden, and nowhere else."""

import pathlib
import subprocess

import pytest
from cryptography.fernet import Fernet

from tests.functional.server.stage import BIN, KEYS, LIMIT, connection, remove_all

PSK = "correct-horse-battery-staple"
COLLECTION, RESOURCE = "vpn/ipsec-site-connections", "ipsec_site_connection"


@pytest.fixture
def made(api, parents):
    yield api.create(COLLECTION, RESOURCE, **connection(parents, psk=PSK))
    remove_all(api)


@pytest.fixture
def token(database):
    """Return what is stored of a connection's key."""
    return lambda made: database.sql(
        f"SELECT token FROM api.swanherd_secrets WHERE id = '{made['id']}'"
    )


def rotate(directory, keys):
    """Run `swanherdctl secrets rotate` with other keys than the server has."""
    text = (directory / "neutron.conf").read_text().replace(",".join(KEYS), keys)
    other = directory / "other.conf"
    other.write_text(text)
    return subprocess.run(
        [BIN / "swanherdctl", "secrets", "rotate", "--config-file", other],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def test_the_key_is_stored_encrypted_alone(api, made, database, token):
    """The owner reads it back; the database has a placeholder and what the first key made."""
    assert made["psk"] == PSK
    assert Fernet(KEYS[0]).decrypt(token(made)).decode() == PSK
    column = f"SELECT psk FROM api.ipsec_site_connections WHERE id = '{made['id']}'"
    assert database.sql(column) == "encrypted by swanherd"
    path = f"{COLLECTION}/{made['id']}"
    before = token(made)
    same = api.request("PUT", path, {RESOURCE: {"psk": PSK}})[1][RESOURCE]
    assert (token(made), same["revision_wanted"]) == (before, made["revision_wanted"])
    changed = api.request("PUT", path, {RESOURCE: {"psk": "another"}})[1][RESOURCE]
    assert changed["psk"] == "another"
    assert changed["revision_wanted"] > made["revision_wanted"]
    assert Fernet(KEYS[0]).decrypt(token(made)) == b"another"


def test_keys_are_rotated_while_the_server_runs(api, made, token, database):
    """Encrypted with the first key; what no key fits is left; without keys it is in clear."""
    directory, path = api.log.parent, f"{COLLECTION}/{made['id']}"
    assert rotate(directory, f"{KEYS[1]},{KEYS[0]}").returncode == 0
    assert Fernet(KEYS[1]).decrypt(token(made)).decode() == PSK
    assert api.request("GET", path)[1][RESOURCE]["psk"] == PSK
    before = token(made)
    failed = rotate(directory, Fernet.generate_key().decode())
    assert (failed.returncode, token(made)) == (1, before)
    assert made["id"] in failed.stderr
    assert PSK not in failed.stderr
    assert rotate(directory, KEYS[1]).returncode == 0
    assert api.request("GET", path)[1][RESOURCE]["psk"] == PSK


def test_a_policy_hides_the_key(api, made):
    """An operator may keep it from who made it; then no answer has it, and PUT still takes one."""
    policy, path = api.log.parent / "policy.yaml", f"{COLLECTION}/{made['id']}"
    policy.write_text('"get_ipsec_site_connection:psk": "role:nobody"\n')
    try:
        code, answer = api.request("PUT", path, {RESOURCE: {"psk": "another"}})
        assert code == 200
        answers = [answer, api.request("GET", path)[1], api.request("GET", COLLECTION)[1]]
        assert "another" not in str(answers)
        assert "peer_id" in str(answers[1])
    finally:
        policy.write_text("{}")
    assert api.request("GET", path)[1][RESOURCE]["psk"] == "another"


def test_the_key_is_nowhere_else(api, made, database):
    """Not in logs with debug on, files, command lines or a dump of the database."""
    api.request("PUT", f"{COLLECTION}/{made['id']}", {RESOURCE: {"psk": PSK + "\n"}})
    api.request("PUT", f"{COLLECTION}/{made['id']}", {RESOURCE: {"psk": "x" * 300 + PSK}})
    dump = subprocess.run(
        ["mariadb-dump", "--no-defaults", "-uroot", "-S", database.socket, "api"],
        check=True,
        capture_output=True,
        timeout=LIMIT,
    ).stdout
    assert made["id"].encode() in dump
    lines = {
        process: process.read_bytes()
        for process in pathlib.Path("/proc").glob("[0-9]*/cmdline")
        if process.exists()
    }
    files = {f: f.read_bytes() for f in api.log.parent.rglob("*") if f.is_file()}
    assert b"Request body" in files[api.log], "the log isn't in debug"
    everything = {"dump": dump, **lines, **files}
    assert [name for name, text in everything.items() if PSK.encode() in text] == []
