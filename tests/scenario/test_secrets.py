"""A key that encrypts a tunnel is where it must be, and nowhere else.

Both clouds are loud, and have keys at rest. What may have a key of a tunnel, and why:

- the answers of the API to its owner, since clients expect them;
- the memory of the API, of the agent and of charon, who work with it;
- the API's own answer on the bus to the agent that asks for a router;
- the database, encrypted; the keys that encrypt are in the server's configuration, for root alone.
"""

import contextlib
import json
import pathlib
import secrets
import shlex
import signal

import pytest
from cryptography.fernet import Fernet

from lab import leaks, tap
from lab.layout import VENV
from lab.neutron import AGENT, API, OVN_WORKERS, WORKERS
from lab.processes import wait_for
from lab.user import user_box
from lab.vpn import (
    agent_of,
    join,
    kill_charons,
    serving,
)

# Loud enough that nothing is kept back: every logger, each SQL statement and what it is about,
# and a notification of each request on the bus, as telemetry wants it.
LOUD = """
[DEFAULT]
debug = true
default_log_levels =
[metrics]
enabled = true
[oslo_messaging_notifications]
driver = messagingv2
[database]
connection_debug = 50
"""
AT_REST = [Fernet.generate_key().decode() for _ in range(2)]
LOUDER = {
    "neutron.conf": f"{LOUD}[swanherd]\npsk_keys = {','.join(AT_REST)}\n",
    "swanherd-agent.conf": LOUD,
}
# What is searched for is letters and digits: however what is around it is escaped or quoted (JSON,
# SQL, a URL, repr), these stay as they are, or are in hex or base64.
CORES = {
    name: f"SwanherdPsk{secrets.token_hex(12)}"
    for name in ("first", "second", "wrong", "typed", "refused")
}
KEYS = {name: f"""a'b" %2F\\{core}/+&=$x{{}}""" for name, core in CORES.items()}
WORDS = [*CORES.values(), *AT_REST]
# Two clouds are started anew, twice.
pytestmark = pytest.mark.long

ROTATION = "rotation.conf"
PATH = "/vpn/ipsec-site-connections"


def write(cloud, texts):
    """Give all processes of a cloud other settings, which root alone can read."""
    for name, text in texts.items():
        file = cloud.central.directory / name
        file.chmod(0o600)
        file.write_text(text)
    for name in (API, cloud.plan.rpc_service, *WORKERS, *OVN_WORKERS, AGENT):
        # The RPC server's own way out takes half a minute; uWSGI must free its port.
        cloud.restart_service(name, signal.SIGTERM if name == API else signal.SIGKILL)


def answers(cloud):
    """Whether the API answers and the agent lives."""
    with contextlib.suppress(Exception):  # whatever a client makes of one that isn't there yet
        list(cloud.connect().network.vpn_services())
        return not cloud.central.run(["swanherdctl", "show"], check=False).returncode
    return False


@pytest.fixture(scope="module")
def loud(clouds):
    """Both clouds loud, with keys at rest; afterwards as they were."""
    before = {c.name: {n: (c.central.directory / n).read_text() for n in LOUDER} for c in clouds}
    for cloud in clouds:
        write(cloud, {name: before[cloud.name][name] + text for name, text in LOUDER.items()})
    for cloud in clouds:
        wait_for(lambda c=cloud: answers(c), 90, "a loud cloud", every=0.5)
    yield
    for cloud in clouds:
        write(cloud, before[cloud.name])
        (cloud.central.directory / ROTATION).unlink(missing_ok=True)
    for cloud in clouds:
        wait_for(lambda c=cloud: answers(c), 90, "a quiet cloud", every=0.5)


@pytest.fixture(scope="module")
def story(lab, clouds, loud, make_pair):
    """Do all that is done with keys, under the eyes of whoever may look; what was seen."""
    pair = make_pair(inner=(4,))
    for cloud in clouds:
        tap.start(lab, cloud.plan)
    with leaks.watched(lab, WORDS) as shown:
        told = live(pair)
        typed(lab, pair)
        refused(pair)
        rotated(pair.one.cloud)
        pair.up(90)
        told += asked(pair)
        dump = leaks.dump(lab)
        pair.remove()
    messages = [m for cloud in clouds for m in tap.stop(lab, cloud.plan)]
    return {"shown": shown, "told": told, "messages": messages, "dump": dump}


def put(end, connection_id, status=200, **attributes):
    """Ask for a change, and get the answer that is expected."""
    body = {"ipsec_site_connection": attributes}
    answer = end.client.network.put(f"{PATH}/{connection_id}", json=body)
    assert answer.status_code == status, answer.text


def live(pair):
    """Come up; another key first on one side, then on both; daemon and agent die meanwhile."""
    pair.connections = (join(*pair.ends, 4, 4, psk=KEYS["first"]),)
    pair.up(90)
    one, other = pair.connections[0]
    node = serving(pair.one)
    put(pair.one, one, psk=KEYS["wrong"])
    wait_for(lambda: pair.one.connection(one)["status_code"], 60, "a cause")
    told = asked(pair)
    kill_charons(pair.one)
    pair.one.cloud.restart_service(agent_of(pair.one), signal.SIGKILL, box=node)
    put(pair.one, one, psk=KEYS["second"])
    put(pair.other, other, psk=KEYS["second"])
    pair.up(90)
    return told


def rotated(cloud):
    """Encrypt with the other key from now on; the servers know both."""
    settings = cloud.central.directory / ROTATION
    settings.touch(0o600)
    text = (cloud.central.directory / "neutron.conf").read_text()
    settings.write_text(text.replace(",".join(AT_REST), ",".join(AT_REST[::-1])))
    done = cloud.central.run(["swanherdctl", "secrets", "rotate", "--config-file", str(settings)])
    assert "1" in done.stdout + done.stderr


def asked(pair):
    """Return all that operators can be told of a tunnel."""
    box, router = pair.one.cloud.central, pair.one.site.router_id
    metrics = (
        "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9699/metrics').read())"
    )
    commands = [
        *(f"swanherdctl {json_} {what}" for json_ in ("", "--json")
          for what in ("show", f"show {router}", f"plan {router}", f"doctor {router}")),
        f"{VENV}/bin/python -c {shlex.quote(metrics)}",
    ]  # fmt: skip
    done = [box.run(shlex.split(command), check=False) for command in commands]
    assert all(each.stdout for each in done), done
    assert "swanherd_connection" in done[-1].stdout
    return [each.stdout + each.stderr for each in done]


def typed(lab, pair):
    """Make a connection by the command line, to a peer that isn't there; remove it."""
    end = pair.one
    group = end.client.network.create_vpn_endpoint_group(
        name="typed", type="cidr", endpoints=["10.250.0.0/24"]
    )
    local = end.connection(pair.connections[0][0])["local_ep_group_id"]
    argv = [
        *("openstack", "vpn", "ipsec", "site", "connection", "create", "typed"),
        *("--vpnservice", end.service.id, "--ikepolicy", end.ike.id),
        *("--ipsecpolicy", end.ipsec.id, "--local-endpoint-group", local),
        *("--peer-endpoint-group", group.id),
        *("--peer-address", "192.0.2.99", "--peer-id", "192.0.2.99", "--psk", KEYS["typed"]),
    ]  # fmt: skip
    env = {"OS_CLIENT_CONFIG_FILE": str(lab.clouds_yaml), "OS_CLOUD": end.cloud.name}
    user_box(lab).run(argv, env=env, timeout=120)
    made = end.client.network.find_vpn_ipsec_site_connection("typed", ignore_missing=False)
    assert end.connection(made.id)["psk"] == KEYS["typed"]
    wait_for(lambda: end.connection(made.id)["status_code"], 60, "a cause")
    end.client.network.delete_vpn_ipsec_site_connection(made.id)
    end.client.network.delete_vpn_endpoint_group(group.id)


def refused(pair):
    """Ask for what can't be: wrong keys, wrong types, unknown names, things that aren't there."""
    key, (one, _) = KEYS["refused"], pair.connections[0]
    for wrong in (f"{key}\n", key * 20, f" {key}", [key], {"psk": key}, {key: 1}):
        put(pair.one, one, 400, psk=wrong)
    network = pair.one.client.network
    for body in ([{"ipsec_site_connection": {"psk": key}}], key):
        assert network.put(f"{PATH}/{one}", json=body).status_code == 400
    put(pair.one, one, 400, psk=key, mtu="many")
    put(pair.one, one, 400, psk=key, unknown=1)
    put(pair.one, pair.one.service.id, 404, psk=key)
    unfinished = f'{{"ipsec_site_connection": {{"psk": "{key}"'
    answer = network.put(f"{PATH}/{one}", data=unfinished)
    assert answer.status_code == 400, answer.text


@pytest.mark.timeout(600)
def test_a_key_is_in_no_file(lab, story):
    """No log, daemon's file, core, table or queue on disk; the debug log was on."""
    log = lab.log("a-gw", API).read_text()
    assert '"psk": "***"' in log or "'psk': '***'" in log
    assert "INSERT INTO swanherd_secrets" in log
    assert leaks.files(lab, list(CORES.values())) == []
    # What encrypts at rest is in the server's configuration alone, which root alone may read.
    found = [pathlib.Path(name) for name in leaks.files(lab, AT_REST)]
    assert {file.name for file in found} == {"neutron.conf", ROTATION}
    assert [file for file in found if file.stat().st_mode & 0o077] == []


def test_the_search_finds_what_is_there(lab, story):
    """A word in a log, as it is or in another form, is found: none found means none there."""
    log = lab.log("a-gw", "probe")
    for form in leaks.forms("ThisWordIsInALogFile"):
        log.write_text(f"some {form}, and more\n")
        assert leaks.files(lab, ["ThisWordIsInALogFile"]) == [str(log)]
    log.unlink()


def test_a_key_is_in_no_dump_of_the_database(story):
    """As root sees it, with all that both clouds hold."""
    assert "encrypted by swanherd" in story["dump"]
    assert not leaks.holds(story["dump"], WORDS)


def test_a_key_is_in_no_arguments_or_environment(story):
    """Of any process of the clouds, at any moment of all that."""
    assert story["shown"] == set()


def test_operators_are_told_no_key(story):
    """By swanherdctl show, plan and doctor, as text and as JSON, and by the metrics."""
    assert '"psk": "Secret(' in "".join(story["told"])
    assert [text for text in story["told"] if leaks.holds(text, WORDS)] == []


def test_a_key_crosses_the_bus_only_to_the_agent_that_asked(story):
    """In the answer to get_router: not in a cast, a question, a report or a notification."""
    messages = story["messages"]
    assert any("ipsec_site_connection.update.end" in m.body for m in messages)
    assert any("router_changed" in m.body for m in messages)
    having = [m for m in messages if leaks.holds(m.body, WORDS)]
    assert having
    for message in having:
        assert all(key.startswith("reply_") for key in message.routing_keys), message
        answer = json.loads(json.loads(message.body)["oslo.message"])
        assert answer["result"]["naming_key"]
