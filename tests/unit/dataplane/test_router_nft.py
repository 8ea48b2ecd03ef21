"""A router's guard as an nft table, as text; what a kernel makes of it is in functional tests."""

from __future__ import annotations

import dataclasses
import re

from swanherd.dataplane import router_nft
from tests.unit.dataplane.test_router_iptables import GUARD

NOTHING = router_nft.read("")


def made(commands: str, what: str) -> tuple[str, ...]:
    return tuple(re.findall(rf"^add {what} inet swanherd (\S+)", commands, re.MULTILINE))


def test_who_takes_over_only_writes_rules():
    """The sets and the chains of a silent guard serve the one that speaks."""
    silent = dataclasses.replace(GUARD, silent=True)
    staged = router_nft.stage(silent, 3)
    sets, maps, chains = (made(staged, kind) for kind in ("set", "map", "chain"))
    now = router_nft.Reading(silent, "", sets, maps, chains)
    text = router_nft.rules_anew(GUARD, now)
    assert not re.search(r"^(add|delete) (set|map|element)|^delete", text, re.MULTILINE)
    asked = set(re.findall(r"@(\S+)", text))
    assert asked == {*sets, *maps}
    assert text == router_nft.switch(GUARD, 3, NOTHING)
