"""A policy is one proposal: whoever offers another one is refused, and both sides say why."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import vici

from swanherd.core.ike import IkeConfig, RekeyChild, TerminateIke, UnloadConfig, UnloadSecret
from swanherd.core.model import IkeVersion, SiteConnection
from swanherd.swan import codec
from swanherd.testing import builders
from tests.functional.swan.stage import (
    EAST_NET,
    PLANE,
    WEST_NET,
    Stage,
    ask,
    children_up,
    mirror,
    pair,
)

AEAD = {"encryption": "aes-256-gcm-16"}
# What both have, and what one of them has instead.
IKE = {
    "encryption": ({}, {"encryption": "aes-192"}),
    "mode of the cipher": ({}, {"encryption": "aes-256-ctr"}),
    "integrity": ({}, {"integrity": "sha512"}),
    "group": ({}, {"dh_group": "group20"}),
    "prf": (AEAD, {"integrity": "sha384"}),
}
ESP = {
    "encryption": ({}, {"encryption": "aes-192"}),
    "mode of the cipher": ({}, {"encryption": "aes-256-ctr"}),
    "integrity": ({}, {"integrity": "sha512"}),
    "check value": (AEAD, {"encryption": "aes-256-gcm-8"}),
    "pfs": ({}, {"dh_group": "group20"}),
}
# What IKEv1 has no word for (core/validation.py).
V2_ONLY = {"mode of the cipher", "prf"}
NETS = (EAST_NET, "10.93.0.0/24")
IKE_CODES = ("ike_no_proposal_or_no_connection", "ike_proposal_mismatch")
ESP_CODES = ("esp_proposal_mismatch",) * 2

BEGINS = pytest.mark.parametrize("we_begin", [True, False], ids=["we begin", "the peer begins"])


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    """Two charons with nothing in them."""
    yield shared
    for router in (shared.west, shared.east):
        observed = shared.swan.observe(router)
        for config in observed.configs:
            shared.swan.apply(router, UnloadConfig(config.name))
        for secret in observed.secrets:
            shared.swan.apply(router, UnloadSecret(secret))
    for router in (shared.west, shared.east):
        for sa in shared.swan.observe(router).ike_sas:
            shared.swan.apply(router, TerminateIke(sa.unique_id, force=True))
        shared.wait(router, lambda o: not o.ike_sas and not o.faults)


def connections(
    version: IkeVersion, ike: dict[str, Any], ipsec: dict[str, Any]
) -> tuple[SiteConnection, SiteConnection]:
    """Return both ends; of IKEv2 with a second child, which is made with PFS."""
    nets = NETS if version is IkeVersion.V2 else NETS[:1]
    return pair(
        ike=builders.ike_policy(version=version, **ike),
        ipsec=builders.ipsec_policy(**ipsec),
        selectors=tuple(builders.selector(WEST_NET, net) for net in nets),
    )


def load_offering(
    stage: Stage, connection: SiteConnection, ike: list[str], esp: list[str]
) -> IkeConfig:
    """Load east's end with these proposals in place of those of its policies."""
    config = stage.load(stage.east, connection)
    message = codec.render(config, PLANE)
    message[config.name]["proposals"] = ike or message[config.name]["proposals"]
    for child in message[config.name]["children"].values():
        child["esp_proposals"] = esp or child["esp_proposals"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(stage.state / stage.east / "charon.vici"))
        vici.Session(sock).load_conn(message)
    return config


def meet(
    stage: Stage, here: IkeConfig, there: IkeConfig, codes: tuple[str, str], *, we_begin: bool
) -> None:
    """One side begins, and both say why it came to nothing: who begins, and who answers."""
    sides = [(stage.west, here), (stage.east, there)]
    if not we_begin:
        sides.reverse()
    stage.initiate(*sides[0])
    for (router, config), code in zip(sides, codes, strict=True):
        stage.fault(router, config, code)


@BEGINS
@pytest.mark.parametrize(
    ("version", "name"), [(v, n) for v in IkeVersion for n in IKE if v == "v2" or n not in V2_ONLY]
)
def test_another_ike_proposal(
    stage: Stage, version: IkeVersion, name: str, *, we_begin: bool
) -> None:
    """Who answers sees the proposal; who begins only a refusal that may mean more."""
    both, one = IKE[name]
    west, east = connections(version, both, {})
    east = dataclasses.replace(east, ike=dataclasses.replace(east.ike, **one))
    here, there = stage.load(stage.west, west), stage.load(stage.east, east)
    meet(stage, here, there, IKE_CODES, we_begin=we_begin)


@BEGINS
@pytest.mark.parametrize(("version", "name"), [(v, n) for v in IkeVersion for n in ESP])
def test_another_esp_proposal(
    stage: Stage, version: IkeVersion, name: str, *, we_begin: bool
) -> None:
    """Both sides see that it differs; of PFS in IKEv2 with the second child."""
    both, one = ESP[name]
    west, east = connections(version, {}, both)
    east = dataclasses.replace(east, ipsec=dataclasses.replace(east.ipsec, **one))
    here, there = stage.load(stage.west, west), stage.load(stage.east, east)
    meet(stage, here, there, ESP_CODES, we_begin=we_begin)
    up = [c for sa in stage.swan.observe(stage.west).ike_sas for c in sa.children]
    assert len(up) == (1 if name == "pfs" and version is IkeVersion.V2 else 0)


def test_another_pfs_group_shows_when_a_child_is_renewed(stage: Stage) -> None:
    """IKEv2 uses it for the first child then."""
    west, _ = pair()
    other = builders.ipsec_policy(dh_group="group20")
    here = stage.load(stage.west, west)
    there = stage.load(stage.east, mirror(west, ipsec=other))
    stage.initiate(stage.west, here)
    observed = stage.wait(stage.west, children_up(here))
    stage.swan.apply(stage.west, RekeyChild(observed.ike_sas[0].children[0].unique_id))
    for router, config in ((stage.west, here), (stage.east, there)):
        stage.fault(router, config, "esp_proposal_mismatch")


# Of a peer that takes several; the first ones differ from our policy in one thing each. In IKEv1
# strongSwan offers the first algorithms of each proposal alone, so there is no "in one".
OTHERS = ["aes128-sha256-ecp256", "aes256-sha512-ecp256", "aes256-sha256-ecp384"]
OFFERS = {
    "one after another": ["3des-sha1-modp2048", *OTHERS, "aes256-sha256-ecp256"],
    "in one": ["aes128-aes256-sha512-sha256-ecp256-ecp384-modp2048"],
}
WAYS = [(v, name) for v in IkeVersion for name in OFFERS if v == "v2" or name != "in one"]
OUTSIDE = {
    "one after another": OTHERS,
    "in one": ["aes128-aes192-sha256-sha512-ecp256-ecp384"],
}


@BEGINS
@pytest.mark.parametrize(("version", "name"), WAYS)
def test_of_several_offers_ours_is_taken(
    stage: Stage, version: IkeVersion, name: str, *, we_begin: bool
) -> None:
    """Whatever the peer would have before it: for IKE, and for ESP with its PFS."""
    west, east = connections(version, {}, {})
    here = stage.load(stage.west, west)
    there = load_offering(stage, east, OFFERS[name], OFFERS[name])
    begins = (stage.west, here) if we_begin else (stage.east, there)
    stage.initiate(*begins)
    stage.wait(stage.west, children_up(here))
    (message,) = ask(stage, stage.west, "list-sas", "list-sa")
    (ike,) = message.values()
    children = list(ike["child-sas"].values())
    assert [sa["encr-keysize"] for sa in (ike, *children)] == [b"256"] * (1 + len(children))
    assert {sa["integ-alg"] for sa in (ike, *children)} == {b"HMAC_SHA2_256_128"}
    assert (ike["prf-alg"], ike["dh-group"]) == (b"PRF_HMAC_SHA2_256", b"ECP_256")
    assert [child["dh-group"] for child in children if "dh-group" in child] == [b"ECP_256"]


@BEGINS
@pytest.mark.parametrize(("version", "name"), WAYS)
@pytest.mark.parametrize("phase", ["ike", "esp"])
def test_several_offers_without_ours_are_refused(
    stage: Stage, version: IkeVersion, name: str, phase: str, *, we_begin: bool
) -> None:
    """Each of them is near, and none of them is it."""
    # In IKEv2 the first child's exchange has no group, so another one alone isn't another offer.
    offers = [o for o in OUTSIDE[name] if o != OTHERS[2] or phase == "ike" or version == "v1"]
    west, east = connections(version, {}, {})
    here = stage.load(stage.west, west)
    ike, esp = (offers, []) if phase == "ike" else ([], offers)
    there = load_offering(stage, east, ike, esp)
    meet(stage, here, there, IKE_CODES if phase == "ike" else ESP_CODES, we_begin=we_begin)


@BEGINS
def test_a_child_without_pfs_is_refused(stage: Stage, *, we_begin: bool) -> None:
    """A group of the policy isn't a wish: no group is another one."""
    west, east = connections(IkeVersion.V1, {}, {})
    here = stage.load(stage.west, west)
    there = load_offering(stage, east, [], ["aes256-sha256"])
    meet(stage, here, there, ESP_CODES, we_begin=we_begin)
