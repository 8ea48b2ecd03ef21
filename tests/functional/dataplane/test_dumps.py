"""What tells that nothing has changed says so of the same state alone."""

from __future__ import annotations

import subprocess

import pytest

from swanherd.dataplane.privileged import dumps, inside, listings, routes

NAME = "dumps"


def run(*command: str) -> None:
    subprocess.run(["ip", "netns", "exec", NAME, *command], check=True)


@pytest.fixture(autouse=True)
def namespace(own_network: None) -> None:
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    run("ip", "link", "set", "lo", "up")


def digest() -> str:
    def work() -> str:
        with listings.listing() as listing:
            return dumps.digest(listing.routing(routes.PROTOCOL))

    return inside.within(NAME, work)


RULE = ("from", "10.1.0.0/24", "to", "10.2.0.0/24", "lookup", "20001")
RULE6 = ("from", "fd01::/64", "to", "fd02::/64", "lookup", "20001")
ROUTE = ("10.9.0.0/24", "dev", "lo", "proto", str(routes.PROTOCOL))
ROUTE6 = ("fd09::/64", "dev", "lo", "proto", str(routes.PROTOCOL))


@pytest.mark.parametrize(
    "change",
    [
        ("rule", "add", *RULE),
        ("-6", "rule", "add", *RULE6),
        ("route", "add", *ROUTE),
        ("-6", "route", "add", *ROUTE6),
    ],
    ids=["rule", "rule of IPv6", "route", "route of IPv6"],
)
def test_any_change_of_routing_is_another_digest_and_back(change: tuple[str, ...]) -> None:
    """The same state has the same digest, time after time."""
    before = digest()
    run("ip", *change)
    assert digest() == digest() != before
    run("ip", *("del" if word == "add" else word for word in change))
    assert digest() == before


def test_the_mtu_of_a_route_counts() -> None:
    """It is in the dump."""
    run("ip", "route", "add", *ROUTE, "mtu", "1400")
    before = digest()
    run("ip", "route", "replace", *ROUTE, "mtu", "1300")
    assert digest() != before


def test_any_change_of_nft_is_another_generation() -> None:
    """And nothing else is; another namespace of the same name is another one."""
    before = dumps.nft_generation(NAME)
    assert before
    assert dumps.nft_generation(NAME) == before
    run("nft", "add", "table", "inet", "x")
    after = dumps.nft_generation(NAME)
    assert after not in ("", before)
    subprocess.run(["ip", "netns", "del", NAME], check=True)
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    run("nft", "add", "table", "inet", "x")
    assert dumps.nft_generation(NAME) != after
