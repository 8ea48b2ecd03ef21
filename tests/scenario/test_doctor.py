import json
import re

import pytest

from lab import false_clock, faults
from lab.processes import wait_for
from lab.vpn import join, wait_status
from lab.wires import internet_cut, internet_narrow


@pytest.fixture(scope="module")
def pair(make_pair):
    """Two sites joined for IPv4, up."""
    pair = make_pair(inner=(4,))
    pair.connections = (join(*pair.ends, 4, 4),)
    pair.up()
    return pair


def doctor(pair, asked):
    """Ask on the gateway of cloud a; exit status and what it found, by check."""
    box = pair.one.cloud.central
    done = box.run(["swanherdctl", "doctor", "--json", asked], check=False)
    found = json.loads(done.stdout)
    return done.returncode, {f["check"]: f for f in found.get("findings", ())}


def change(pair, connection, **attributes):
    """Change it and wait until the data plane has it."""
    pair.one.client.network.update_vpn_ipsec_site_connection(connection, **attributes)
    wait_status(pair.one, connection, "ACTIVE")


def test_all_is_well_and_the_peer_answers_ike(pair):
    """By the router's id and by the connection's; through the guard, past OVN and the internet."""
    for asked in (pair.one.site.router_id, pair.connections[0][0]):
        status, found = doctor(pair, asked)
        assert status == 0, found
        assert (
            "UDP 500 answered, UDP 4500 answered; ping answered" in found["peer reached"]["seen"]
        )
        assert found["path MTU"]["verdict"] == "ok"
        assert found["child SAs"]["seen"] == "1"
        assert found["NAT"]["verdict"] == "ok"
    table = pair.one.cloud.central.run(["swanherdctl", "doctor", pair.one.site.router_id]).stdout
    assert "FAIL" not in table


def test_a_wrong_key_is_what_it_says(pair):
    """The cause, on the connection whose key was changed."""
    network = pair.one.client.network
    connection = pair.connections[0][0]
    right = pair.one.connection(connection)["psk"]
    network.update_vpn_ipsec_site_connection(
        connection, psk="not the peer's", admin_state_up=False
    )
    wait_status(pair.one, connection, "DOWN")

    def shown():
        return pair.one.connection(connection)

    network.update_vpn_ipsec_site_connection(connection, admin_state_up=True)
    try:
        wait_for(
            lambda: (shown()["status_code"] or "").startswith("psk"), 30, "the cause is known"
        )
        status, found = doctor(pair, connection)
        assert status == 3
        assert found["last error"]["seen"].startswith("psk_")
        assert found["last error"]["hint"]
        assert found["child SAs"]["verdict"] == "failed"
        assert "not the peer's" not in json.dumps(found)
    finally:
        network.update_vpn_ipsec_site_connection(connection, psk=right)
    pair.up()


def test_a_narrow_path_is_what_it_says(lab, pair):
    """It is measured past the router and the tunnel, and the mtu that the hint names is enough."""
    connection = pair.connections[0][0]
    usual = pair.one.connection(connection)["mtu"]
    with internet_narrow(lab, 1400):
        status, found = doctor(pair, connection)
        narrow = found["path MTU"]
        assert (status, narrow["verdict"]) == (0, "warning")
        assert narrow["seen"] == "pings of up to 1400 are answered"
        fits = int(re.search(r"Set mtu to (\d+)", narrow["hint"])[1])
        assert 1280 <= fits < 1400
        try:
            change(pair, connection, mtu=fits)
            assert doctor(pair, connection)[1]["path MTU"]["verdict"] == "ok"
        finally:
            change(pair, connection, mtu=usual)
    assert doctor(pair, connection)[1]["path MTU"]["verdict"] == "ok"


def test_a_path_that_is_cut_is_what_it_says(lab, pair):
    """Nobody answers; the tunnel is up until dead peer detection finds out."""
    connection = pair.connections[0][0]
    with internet_cut(lab):
        _, found = doctor(pair, connection)
        assert "UDP 500 silent, UDP 4500 silent; ping silent" in found["peer reached"]["seen"]
        assert found["path MTU"]["verdict"] == "unknown"
    pair.up()


def test_a_clock_that_was_set_is_what_it_says(pair):
    """By seven minutes, under the agent that runs."""
    faults.make_clock_false(pair.one)
    box = pair.one.cloud.central
    router = pair.one.site.router_id
    asked = ["swanherdctl", "doctor", router]
    wait_for(lambda: not box.run(asked, check=False).returncode, 60, "the agent answers, all well")
    assert "since" not in doctor(pair, router)[1]["clock"]["seen"]
    false_clock.jump(box, 420)
    try:
        clock = doctor(pair, router)[1]["clock"]
        assert (clock["verdict"], clock["seen"]) == (
            "warning",
            "set by +420 s since the agent's start",
        )
        assert clock["hint"]
    finally:
        false_clock.jump(box, 0)


def test_what_is_not_here_is_said_so(pair):
    """An id that no agent knows, and one that is no id."""
    for asked in ("5a5a5a5a-0000-4000-8000-000000000000", "$(reboot); x"):
        assert doctor(pair, asked) == (1, {})
