"""What the scenarios' watch of the wires asks for, and when it doesn't."""

import types

from tests.scenario.closed import Gap, Watch

SIX = "12.5 IP6 fd00::1.9999 > fd00::2.49413: UDP, length 5"
FOUR = "12.5 IP 10.0.0.1.9999 > 10.0.0.2.49413: UDP, length 5"


def watch(*lines: str) -> Watch:
    """Return a watch of one wire, on which these packets were seen."""
    seen = [(float(line.split()[0]), line) for line in lines]
    return Watch([types.SimpleNamespace(seen=lambda _filter: seen)], [])


def test_what_no_connection_has_is_not_asked_for() -> None:
    """The other IP version's packets are, and so is what comes at another time."""
    watched = watch(SIX, FOUR)
    assert watched.clear() == [SIX, FOUR]
    watched.gaps.append(Gap(6, 12.0, 13.0))
    assert watched.clear() == [FOUR]
    watched.gaps[0] = Gap(6, 12.6)
    assert watched.clear() == [SIX, FOUR]
