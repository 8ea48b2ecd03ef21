"""The laws of the codec: deterministic, literal, exact; and what charon says comes back whole."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vici.protocol import FiniteStream, Message

from swanherd.core.ike import ChildSa, IkeConfig, IkeSa, LoadedConfig, SaState
from swanherd.core.model import (
    DataPlane,
    Dpd,
    DpdAction,
    Encapsulation,
    IkeVersion,
    Phase1Mode,
    Secret,
    SiteConnection,
    Transform,
)
from swanherd.core.naming import reqid_of
from swanherd.core.peering import ike_config
from swanherd.swan import codec
from swanherd.testing import builders

KEY = Secret("k" * 64)
connections = st.builds(
    lambda name, psk, version, mode, ipsec_mode, lifetime, dpd, local_id: builders.connection(
        name,
        psk=Secret(psk),
        local_id=local_id,
        dpd=dpd,
        ike=builders.ike_policy(version=version, mode=mode, lifetime=lifetime),
        ipsec=builders.ipsec_policy(mode=ipsec_mode, lifetime=lifetime),
        selectors=(
            builders.selector("10.1.0.0/24", "10.2.0.0/24"),
            builders.selector("fd00:1::/64", "fd00:2::/64"),
        ),
    ),
    name=st.text(min_size=1, max_size=5),
    psk=st.text(min_size=1, max_size=20),
    version=st.sampled_from(IkeVersion),
    mode=st.sampled_from(Phase1Mode),
    ipsec_mode=st.sampled_from(Encapsulation),
    lifetime=st.integers(60, 2**31 - 1),
    dpd=st.builds(Dpd, st.sampled_from(DpdAction), st.integers(0, 99), st.integers(100, 999)),
    local_id=st.sampled_from(["", "west", "a@b.org", "192.0.2.7", "%any"]),
)


def render(connection: SiteConnection, plane: DataPlane = DataPlane.KERNEL) -> dict[str, Any]:
    config = ike_config(connection, KEY)
    return codec.render(config, plane)[config.name]  # type: ignore[no-any-return]


def over_the_wire(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message as charon gets it, all values in bytes."""
    return Message.deserialize(FiniteStream(Message.serialize(message)))  # type: ignore[no-any-return]


@given(connections, st.sampled_from(DataPlane))
def test_equal_configs_yield_equal_messages(connection: SiteConnection, plane: DataPlane) -> None:
    """Rendering depends on the value alone, and not on the order of children."""
    config = ike_config(connection, KEY)
    turned = dataclasses.replace(config, children=tuple(reversed(config.children)))
    assert codec.render(config, plane) == codec.render(turned, plane)
    assert Message.serialize(codec.render(config, plane)) == Message.serialize(
        codec.render(ike_config(dataclasses.replace(connection), KEY), plane)
    )


@given(connections)
def test_what_list_conns_tells_of_a_rendered_config(connection: SiteConnection) -> None:
    """A message, told back by charon, means the config's name, children, version and peer."""
    config = ike_config(connection, KEY)
    sent = over_the_wire(codec.render(config, DataPlane.KERNEL))[config.name]
    told = {
        config.name: {
            "remote_addrs": sent["remote_addrs"],
            "version": b"IKEv" + sent["version"],
            "children": sent["children"],
            "remote-1": {"id": connection.peer_id.encode()},
        }
    }
    loaded, facts = codec.parse_config(told)
    assert loaded == LoadedConfig(config.name, frozenset(name for name, _ in config.children))
    assert facts == codec.facts_of(config)


@given(connections)
def test_the_psk_is_only_in_its_own_message(connection: SiteConnection) -> None:
    """load-conn has no secret; load-shared has it under the connection's id."""
    secret = dataclasses.replace(connection, psk=Secret("~~very secret~~"))
    assert b"~~very secret~~" not in Message.serialize(
        codec.render(ike_config(secret, KEY), DataPlane.KERNEL)
    )
    message = codec.render_secret(secret)
    assert (message["id"], message["data"]) == (secret.id, "~~very secret~~")


@given(connections)
def test_hard_limits_are_the_lifetimes(connection: SiteConnection) -> None:
    """An SA lives at most the API's lifetime, and is rekeyed before that, jitter included."""
    message = render(connection)
    lifetime = connection.ike.lifetime
    assert message["rekey_time"] + message["over_time"] == lifetime
    assert 0 < message["rand_time"] < message["rekey_time"]
    for child in message["children"].values():
        assert child["life_time"] == lifetime
        assert 0 < child["rand_time"] < child["rekey_time"] < lifetime


@pytest.mark.parametrize("lifetime", [60, 3600, 86400])
def test_the_two_sides_never_renew_at_once(lifetime: int) -> None:
    """With equal lifetimes one is through before the other would begin, whatever the jitter."""
    sides = [
        builders.connection(
            local_id=here,
            peer_id=there,
            ike=builders.ike_policy(lifetime=lifetime),
            ipsec=builders.ipsec_policy(lifetime=lifetime),
        )
        for here, there in (("a.example", "b.example"), ("b.example", "a.example"))
    ]
    early, late = map(render, sides)
    assert early["rekey_time"] < late["rekey_time"] - late["rand_time"]
    ((early_child,), (late_child,)) = (m["children"].values() for m in (early, late))
    assert early_child["rekey_time"] < late_child["rekey_time"] - late_child["rand_time"]


@given(connections)
def test_charon_never_acts_by_itself(connection: SiteConnection) -> None:
    """Every automatic action is off; IKE SAs never replace each other."""
    message = render(connection)
    assert message["keyingtries"] == 1
    assert message["unique"] == "no"
    for child in message["children"].values():
        assert {child[f"{when}_action"] for when in ("start", "dpd", "close")} == {"none"}


def test_a_quiet_config_is_told_apart_and_names_its_pairs_for_the_kernel() -> None:
    """It sends no INITIAL_CONTACT. A pair's number is the same whatever else there is."""
    config = ike_config(builders.connection(), KEY)
    quiet = codec.render(config, DataPlane.KERNEL, quiet=True)[config.name]
    assert quiet == {**render(config.connection), "unique": "never"}
    told = {config.name: {"unique": b"UNIQUE_NEVER", "children": {}}}
    assert codec.parse_config(told)[0] == LoadedConfig(config.name, frozenset(), quiet=True)
    ((name, child),) = quiet["children"].items()
    assert child["reqid"] == reqid_of(name)
    assert 1 << 31 <= child["reqid"] < 1 << 32
    assert "reqid" not in render(config.connection, DataPlane.USERSPACE)["children"][name]


def test_a_policy_goes_before_wider_ones_and_then_by_its_rank() -> None:
    """Whatever ranks the two have; the priority is a number of 32 bits, and never 0."""

    def priority(local: str, remote: str, rank: int) -> int:
        pair = (builders.selector(local, remote),)
        config = ike_config(builders.connection(selectors=pair), KEY)
        (child,) = codec.render(config, DataPlane.KERNEL, rank=rank)[config.name][
            "children"
        ].values()
        return int(child["priority"])

    wide, narrow = ("10.0.0.0/8", "10.2.0.0/16"), ("10.1.0.0/16", "10.2.0.0/16")
    far, host = ("0.0.0.0/0", "0.0.0.0/0"), ("fd00::1/128", "fd00::2/128")
    got = [
        priority(*pair, rank) for pair in (host, narrow, wide, far) for rank in (0, 1, 7, 1 << 40)
    ]
    assert got == sorted(set(got))
    assert got[0] > 0
    assert got[-1] < 1 << 32


def test_generations_differ_where_charon_looks() -> None:
    """Configs that differ in nothing but their name differ in fields of charon's equality."""
    connection = builders.connection()
    messages = [
        codec.render(IkeConfig(name, connection, ()), DataPlane.KERNEL)[name]
        for name in (f"{connection.id}-{n:016x}" for n in range(100))
    ]
    assert len({m["local"]["aaa_id"] for m in messages}) == 100
    assert len({(m["over_time"], m["rand_time"]) for m in messages}) > 95


def test_a_connection_in_full() -> None:
    """Each attribute of the API has its place in the message."""
    connection = builders.connection(
        local_id="west.example.org",
        peer_id="east@example.org",
        dpd=Dpd(DpdAction.RESTART, 15, 60),
        ike=builders.ike_policy(version=IkeVersion.V1, mode=Phase1Mode.AGGRESSIVE),
        ipsec=builders.ipsec_policy(mode=Encapsulation.TRANSPORT, encryption="aes-128-gcm-16"),
    )
    message = render(connection, DataPlane.USERSPACE)
    expected = {
        "version": 1,
        "aggressive": "yes",
        "local_addrs": ["203.0.113.2"],
        "remote_addrs": ["198.51.100.2"],
        "proposals": ["aes256-sha256-ecp256"],
        "dpd_delay": 15,
        "dpd_timeout": 60,
        "encap": "yes",
        "mobike": "no",
        "fragmentation": "yes",
    }
    assert expected == {key: message[key] for key in expected}
    assert message["local"]["id"] == "fqdn:west.example.org"
    assert message["remote"] == {"auth": "psk", "id": "email:east@example.org"}
    (child,) = message["children"].values()
    assert child["mode"] == "transport"
    assert child["esp_proposals"] == ["aes128gcm128-ecp256"]
    assert (child["local_ts"], child["remote_ts"]) == (["10.1.0.0/24"], ["10.2.0.0/24"])


def test_what_ikev2_has_not_is_not_said() -> None:
    """IKEv2 has neither modes nor a DPD timeout; in the kernel nothing forces UDP."""
    message = render(builders.connection())
    assert message["version"] == 2
    assert not {"aggressive", "dpd_timeout"} & message.keys()
    assert message["encap"] == "no"


def test_dpd_can_be_disabled() -> None:
    """The action `disabled` asks for no detection, whatever the interval."""
    for version in IkeVersion:
        connection = builders.connection(
            dpd=Dpd(DpdAction.DISABLED, 30, 120), ike=builders.ike_policy(version=version)
        )
        message = render(connection)
        assert message["dpd_delay"] == 0
        assert "dpd_timeout" not in message


def test_ah_has_proposals_of_its_own() -> None:
    """AH authenticates only: no cipher in its proposal."""
    (child,) = render(
        builders.connection(ipsec=builders.ipsec_policy(transform=Transform.AH))
    )["children"].values()  # fmt: skip
    assert child["ah_proposals"] == ["sha256-ecp256"]
    assert "esp_proposals" not in child


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "%any"])
def test_any_peer(address: str) -> None:
    """Only what the API says for it means a peer of any address."""
    message = render(builders.connection(peer_address=address))
    assert message["remote_addrs"] == ["%any"]


def test_a_peer_by_name() -> None:
    """A host name is left to charon, which resolves it each time."""
    message = render(builders.connection(peer_address="vpn.example.org"))
    assert message["remote_addrs"] == ["vpn.example.org"]


@pytest.mark.parametrize(
    "changes",
    [
        {"peer_address": "10.0.0.0/8"},
        {"peer_address": "10.0.0.1-10.0.0.9"},
        {"peer_address": "10.0.0.1,%any"},
        {"peer_address": "%any6"},
        {"peer_address": "1.2.3"},
        {"peer_address": ""},
        {"local_address": None},
        {"peer_id": "ü" * 255},
        {"ike": builders.ike_policy(encryption="rot13")},
        {"ike": builders.ike_policy(dh_group="group99")},
        {"ipsec": builders.ipsec_policy(transform=Transform.AH_ESP)},
    ],
)
def test_what_cannot_be_said_is_refused(changes: dict[str, Any]) -> None:
    """Nothing that charon would read as more than the API said is rendered."""
    with pytest.raises(codec.Unrenderable):
        render(builders.connection(**changes))


def test_owners_of_a_secret() -> None:
    """A key belongs to both identities; in IKEv1 also to the addresses, known before those."""
    connection = builders.connection(local_id="west", peer_id="east")
    assert codec.render_secret(connection)["owners"] == ["fqdn:west", "fqdn:east"]
    old = dataclasses.replace(connection, ike=builders.ike_policy(version=IkeVersion.V1))
    assert codec.render_secret(old)["owners"] == [
        "fqdn:west",
        "fqdn:east",
        "ipv4:#cb007102",
        "ipv4:#c6336402",
    ]
    anyone = dataclasses.replace(old, peer_address="0.0.0.0")
    assert codec.render_secret(anyone)["owners"] == ["fqdn:west", "fqdn:east", "ipv4:#cb007102"]


def test_ipv6_endpoints() -> None:
    """Addresses of IPv6 are canonical in the message."""
    connection = builders.connection(
        local_address=ipaddress.ip_address("2001:db8::1"), peer_address="2001:DB8:0::2"
    )
    message = render(connection)
    assert message["local_addrs"] == ["2001:db8::1"]
    assert message["remote_addrs"] == ["2001:db8::2"]
    assert message["local"]["id"] == "ipv6:#20010db8000000000000000000000001"


SA = {
    "uniqueid": b"7",
    "version": b"2",
    "state": b"ESTABLISHED",
    "local-host": b"192.0.2.1",
    "remote-host": b"192.0.2.2",
    "initiator": b"yes",
    "initiator-spi": b"00000000000000ab",
    "established": b"12",
    "child-sas": {
        "b-9": {"name": b"b", "uniqueid": b"9", "state": b"DELETED"},
        "a-8": {"name": b"a", "uniqueid": b"8", "state": b"INSTALLED"},
        "c-10": {"name": b"c", "uniqueid": b"10", "state": b"RETRYING"},
    },
}


def test_an_ike_sa() -> None:
    """One event of list-sas is an IKE SA with its children by unique id."""
    expected = IkeSa(
        config="x-1",
        unique_id=7,
        state=SaState.ESTABLISHED,
        initiator=True,
        local_host="192.0.2.1",
        remote_host="192.0.2.2",
        busy=False,
        children=(
            ChildSa("a", 8, SaState.INSTALLED),
            ChildSa("b", 9, SaState.DELETED),
            ChildSa("c", 10, SaState.OTHER),
        ),
        age=12,
        initiator_spi="00000000000000ab",
    )
    assert codec.parse_sas({"x-1": SA}) == (expected,)
    assert codec.parse_sas({"up": b"yes", "x-1": SA}) == (expected,)


@pytest.mark.parametrize("queue", ["tasks-queued", "tasks-active", "tasks-passive"])
@pytest.mark.parametrize(
    ("task", "busy"), [(b"CHILD_CREATE", True), (b"QUICK_MODE", True), (b"IKE_DPD", False)]
)
def test_busy(queue: str, task: bytes, busy: bool) -> None:
    """An IKE SA is busy while a task will make or end children, whoever began it."""
    (sa,) = codec.parse_sas({"x-1": {**SA, queue: [b"IKE_VENDOR", task]}})
    assert sa.busy is busy


def test_an_ike_sa_that_only_begins() -> None:
    """What charon leaves out has its plain value."""
    body = {"uniqueid": b"1", "state": b"CONNECTING", "remote-host": b"%any"}
    (sa,) = codec.parse_sas({"x-1": body})
    assert sa == IkeSa("x-1", 1, SaState.CONNECTING, False, "", "%any", False, ())


def test_what_a_peer_has_only_begun_is_none_of_ours_to_judge() -> None:
    """As long as charon knows no config for it: else each look would end a peer's attempt."""
    assert codec.parse_sas({"(unnamed)": {**SA, "state": b"CONNECTING"}}) == ()


def test_secrets() -> None:
    """get-shared lists connection ids."""
    assert codec.parse_secrets({"keys": [b"a", b"b"]}) == frozenset({"a", "b"})
    assert codec.parse_secrets({}) == frozenset()


@pytest.mark.parametrize(("spi", "answered"), [(b"0" * 16, False), (b"00000000000000cd", True)])
def test_an_attempt_is_answered_once_the_peer_has_an_spi(spi: bytes, answered: bool) -> None:
    """charon shows zeros until the peer's first message is there."""
    (sa,) = codec.parse_sas({"x-1": {**SA, "responder-spi": spi}})
    assert sa.answered is answered
