import json

import pytest

from lab.processes import wait_for
from lab.vpn import join, wait_status


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


def test_what_is_not_here_is_said_so(pair):
    """An id that no agent knows, and one that is no id."""
    for asked in ("5a5a5a5a-0000-4000-8000-000000000000", "$(reboot); x"):
        assert doctor(pair, asked) == (1, {})
