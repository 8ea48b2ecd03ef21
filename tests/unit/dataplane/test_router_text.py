"""What the kernel keeps of a guard in comments."""

from __future__ import annotations

import ipaddress

from swanherd.core.network import RouterGuard, Way
from swanherd.dataplane.router_text import guard_of, parts

GUARD = RouterGuard(
    way=Way.TUNNEL,
    public="qg-0",
    addresses=frozenset({ipaddress.ip_address("192.0.2.1")}),
    pairs=frozenset(),
)


def test_a_guard_of_another_form_is_written_anew() -> None:
    """Rules that an earlier release made of the same guard aren't taken for ours."""
    text = "".join(parts(GUARD, 1000))
    assert guard_of(text, ()) == GUARD
    form, _, before = text.partition("|")
    assert guard_of(before, ()) is None
    assert guard_of(f"{form}0|{before}", ()) is None
