"""What is read of a namespace is what iproute2 says of it."""

from __future__ import annotations

import errno
import json
import subprocess
from typing import Any

import pytest

from swanherd.dataplane.privileged import inside, links, listings, routes

NAME = "listings"
OURS = str(routes.PROTOCOL)


def ip(*arguments: str) -> Any:
    done = subprocess.run(
        ["ip", "-j", "-d", "-n", NAME, *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout) if done.stdout.strip() else []


@pytest.fixture(autouse=True)
def namespace(own_network: None) -> None:
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    ip("link", "set", "lo", "up")
    pair = ("link", "add", "outer", "type", "veth", "peer", "name", "inner", "netns", NAME)
    subprocess.run(["ip", *pair], check=True)


def seen() -> dict[str, Any]:
    return routes.observe(NAME)


def test_devices_are_as_iproute2_has_them() -> None:
    """Also one without a hardware address, and one that is down."""
    ip("link", "set", "inner", "up", "mtu", "1400")
    ip("link", "add", "plain", "type", "bridge")
    ip("tuntap", "add", "bare", "mode", "tun")
    said = {
        link["ifname"]: (link["ifindex"], link["mtu"], "UP" in link["flags"])
        for link in ip("link", "show")
    }
    read = seen()["links"]
    assert said == {n: (link["index"], link["mtu"], link["up"]) for n, link in read.items()}
    (inner,) = ip("link", "show", "inner")
    assert (read["inner"]["mac"], read["inner"]["peer"]) == (inner["address"], inner["link_index"])
    assert read["bare"]["mac"] == ""
    assert inside.within(NAME, lambda: listings.link("inner")) == {
        k: v for k, v in read["inner"].items() if k not in ("addresses", "refused", "tx_checksum")
    }


def test_a_pair_is_found_from_both_ends() -> None:
    """And one that isn't there is no error."""
    assert links.outer_end(NAME, "inner") == "outer"
    assert links.outer_end(NAME, "lo") is None
    assert set(links.outer_links(["outer", "nobody"])) == {"outer"}
    ours, theirs = links.outer_links(["outer"])["outer"], seen()["links"]["inner"]
    assert links.is_pair(ours, theirs)


def test_addresses_are_those_that_somebody_gave() -> None:
    """Of one with a peer it is this end's; what the kernel made itself isn't told."""
    ip("link", "set", "inner", "up")
    for address in ("10.0.0.1/24", "10.0.1.1/32", "2001:db8::1/64"):
        ip("address", "add", address, "dev", "inner")
    ip("address", "add", "10.0.2.1", "peer", "10.0.2.2/32", "dev", "inner")
    read = seen()["links"]
    given = {"10.0.0.1/24", "10.0.1.1/32", "10.0.2.1/32", "2001:db8::1/64"}
    assert given == set(read["inner"]["addresses"])
    assert read["lo"]["addresses"] == []


def test_routes_and_rules_are_ours_alone_and_whole() -> None:
    """With table, gateway and MTU of either family; others' aren't told."""
    ip("link", "set", "inner", "up")
    ip("address", "add", "10.0.0.1/24", "dev", "inner")
    by = ("dev", "inner", "proto", OURS)
    ip("route", "add", "10.9.0.0/24", "via", "10.0.0.9", *by, "table", "20001", "mtu", "1300")
    ip("-6", "route", "add", "fd09::/64", *by)
    ip("route", "add", "default", *by, "table", "7")
    ip("route", "add", "10.8.0.0/24", "dev", "inner")
    rule = ("from", "10.1.0.0/24", "lookup", "20001", "pref", "100")
    ip("rule", "add", *rule, "protocol", OURS)
    ip("-6", "rule", "add", "to", "fd02::/64", "unreachable", "pref", "3001", "protocol", OURS)
    # A device that isn't there yet can be named.
    ip("rule", "add", "iif", "outer", "blackhole", "pref", "90", "protocol", OURS)
    ip("rule", "add", "from", "10.3.0.0/24", "lookup", "7")
    plain = {"device": "inner", "gateway": None, "mtu": 0}
    read = seen()
    assert sorted(read["routes"], key=lambda route: route["table"]) == [
        plain | {"destination": "0.0.0.0/0", "table": 7},
        plain | {"destination": "fd09::/64", "table": 254},
        plain | {"destination": "10.9.0.0/24", "table": 20001, "gateway": "10.0.0.9", "mtu": 1300},
    ]
    anywhere, six = "0.0.0.0/0", ("::/0", "fd02::/64", 0, 3001, "")
    names = ("source", "destination", "table", "priority", "device")
    assert read["rules"] == [
        dict(zip(names, values, strict=True))
        for values in (
            (anywhere, anywhere, -1, 90, "outer"),
            ("10.1.0.0/24", anywhere, 20001, 100, ""),
            six,
        )
    ]


def test_many_are_all_read() -> None:
    """Also what doesn't fit into one answer of the kernel's; and the last one counts."""
    lines = [
        f"rule add to 10.{n // 250}.{n % 250}.0/24 lookup 20001 pref {n + 1} protocol {OURS}"
        for n in range(1500)
    ]
    subprocess.run(
        ["ip", "-n", NAME, "-batch", "-"], input="\n".join(lines), text=True, check=True
    )
    read = seen()
    assert [n + 1 for n in range(1500)] == [rule["priority"] for rule in read["rules"]]
    ip("rule", "del", "pref", "1500")
    assert seen()["state"] != read["state"]


def test_what_the_kernel_refuses_is_its_error() -> None:
    """Not that there is nothing."""
    with pytest.raises(OSError, match="netlink") as caught:
        links.outer_links(["a-name-that-is-longer-than-any-device"])
    assert caught.value.errno in (errno.ERANGE, errno.EINVAL)
