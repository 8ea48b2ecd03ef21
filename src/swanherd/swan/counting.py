"""How what charon lists and tells becomes a tally. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from swanherd.core.ike import ChildSa, Fault
from swanherd.core.tally import Tally
from swanherd.swan import causes
from swanherd.swan.events import ChildChange, ChildRekeyed, Event, IkeRekeyed, Notice
from swanherd.swan.lists import Listed


def counted(tally: Tally, listed: Listed) -> Tally:
    """Return the tally after a look; of what isn't loaded any more nothing is kept."""
    children = (child for sa in listed.fresh for child in sa.children)
    after = tally.listed(children, whole=listed.whole)
    if not listed.whole or not listed.configs:
        return after
    names = (name for config in listed.configs for name in config.children)
    return after.keep_only((config.name for config in listed.configs), names)


def told(tally: Tally, event: Event) -> Tally:
    """Return the tally after charon has told something."""
    match event:
        case ChildRekeyed(old=ChildSa() as old):
            return tally.child_rekeyed(old)
        case ChildChange(child=ChildSa() as child):
            return tally.listed((child,), whole=False)
        case IkeRekeyed(config):
            return tally.ike_rekeyed(config)
        case Notice(type=causes.RETRANSMIT, config=config):
            return tally.retransmitted(config)
        case _:
            return tally


def new_faults(before: Iterable[Fault], after: Iterable[Fault]) -> list[Fault]:
    """Return the faults that weren't there before; a config has one at most.

    Mostly one of all: a peer of a thousand that has gone silent.
    """
    known = {fault.config: fault for fault in before}
    others = [fault for fault in after if known.get(fault.config) is not fault]
    return [fault for fault in others if known.get(fault.config) != fault]


def failures(tally: Tally, new: Iterable[Fault], now: float) -> Tally:
    """Return the tally after these faults have come."""
    for fault in new:
        tally = tally.failed(fault.config, fault.code, now)
    return tally
