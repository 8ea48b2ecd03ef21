"""How what charon lists and tells becomes a tally. Pure."""

from __future__ import annotations

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


def failures(
    tally: Tally, before: tuple[Fault, ...], after: tuple[Fault, ...], now: float
) -> Tally:
    """Return the tally after the faults have changed."""
    for fault in after:
        if fault not in before:
            tally = tally.failed(fault.config, fault.code, now)
    return tally
