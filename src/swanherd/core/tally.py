"""What a router's tunnels have done since this agent first saw them: counters that only grow.

An SA's own counters begin anew with each rekey, so that a sum over the SAs of a moment would fall
and be taken for a restart. Here the growth of each SA is added up, and an SA that ends takes
nothing away. What an SA had carried before the agent saw it isn't counted: after a restart of the
agent every counter begins at zero, as those of any process. Nor is what left by an SA between the
last look and a rekey of our own: charon drops the outbound SA before it tells (measured, 5.9.8).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from swanherd.core.ike import ChildSa
from swanherd.core.model import ChildDetails, ConnectionId
from swanherd.core.naming import pair_of, peering_of

# Seconds in which the same failure is told on several ways.
_TOGETHER = 5.0

DEAD = "dpd_timeout"


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """What was decrypted (in) and encrypted (out)."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def plus(self, other: Traffic) -> Traffic:
        """Return the sum."""
        return Traffic(
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.packets_in + other.packets_in,
            self.packets_out + other.packets_out,
        )

    def since(self, before: Traffic) -> Traffic:
        """Return the growth, never a negative one."""
        return Traffic(
            max(0, self.bytes_in - before.bytes_in),
            max(0, self.bytes_out - before.bytes_out),
            max(0, self.packets_in - before.packets_in),
            max(0, self.packets_out - before.packets_out),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LastError:
    """The last failure of a peering: its code, and when in monotonic seconds."""

    code: str
    at: float


_NOTHING = Traffic()


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """The counters of one charon. Feed it; nothing of it changes in place.

    `traffic` and `child_rekeys` are by pair of networks (`naming.pair_of`), all others by peering.
    `known` holds what each living child SA had counted when it was last seen, by its SPIs; None
    until charon's SAs were seen for the first time.
    """

    traffic: Mapping[str, Traffic] = dataclasses.field(default_factory=dict)
    child_rekeys: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ike_rekeys: Mapping[ConnectionId, int] = dataclasses.field(default_factory=dict)
    retransmissions: Mapping[ConnectionId, int] = dataclasses.field(default_factory=dict)
    dead_peers: Mapping[ConnectionId, int] = dataclasses.field(default_factory=dict)
    errors: Mapping[ConnectionId, LastError] = dataclasses.field(default_factory=dict)
    known: Mapping[frozenset[int], Traffic] | None = None

    def listed(self, children: Iterable[ChildSa], *, whole: bool) -> Tally:
        """Return the tally after these were listed; `whole`: there are no others."""
        found = [(c, _traffic(c.details)) for c in children if c.details and c.spis]
        if self.known is None:
            return self.changed(known={c.spis: had for c, had in found}) if whole else self
        if not found and not whole:
            return self
        traffic, known = dict(self.traffic), {} if whole else dict(self.known)
        for child, had in found:
            more = had.since(self.known.get(child.spis, _NOTHING))
            pair = pair_of(child.name)
            traffic[pair] = traffic.get(pair, _NOTHING).plus(more)
            known[child.spis] = had
        return self.changed(traffic=traffic, known=known)

    def gone(self) -> Tally:
        """Return the tally after charon and its SAs are gone: whatever comes is new."""
        return self if self.known == {} else self.changed(known={})

    def child_rekeyed(self, old: ChildSa) -> Tally:
        """Return the tally after a child SA was replaced."""
        after, pair = self.listed((old,), whole=False), pair_of(old.name)
        rekeys = after.child_rekeys
        return after.changed(child_rekeys={**rekeys, pair: rekeys.get(pair, 0) + 1})

    def ike_rekeyed(self, config: str) -> Tally:
        """Return the tally after an IKE SA was replaced."""
        return self.changed(ike_rekeys=_one_more(self.ike_rekeys, config))

    def retransmitted(self, config: str) -> Tally:
        """Return the tally after a request was sent again, since the peer hadn't answered."""
        return self.changed(retransmissions=_one_more(self.retransmissions, config))

    def failed(self, config: str, code: str, now: float) -> Tally:
        """Return the tally after a failure; one that is told twice counts once."""
        peering = peering_of(config)
        if peering is None:
            return self
        last = self.errors.get(peering)
        again = last is not None and last.code == code and now - last.at < _TOGETHER
        dead = self.dead_peers
        if code == DEAD and not again:
            dead = _one_more(dead, config)
        errors = {**self.errors, peering: LastError(code, now)}
        return self.changed(errors=errors, dead_peers=dead)

    def keep_only(self, configs: Iterable[str], children: Iterable[str]) -> Tally:
        """Return the tally of what is loaded alone, so that it doesn't grow for ever."""
        pairs = frozenset(map(pair_of, children))
        peerings = frozenset(map(peering_of, configs))
        if (
            self.traffic.keys() | self.child_rekeys.keys() <= pairs
            and (
                self.ike_rekeys.keys()
                | self.retransmissions.keys()
                | self.dead_peers.keys()
                | self.errors.keys()
            )
            <= peerings
        ):
            return self
        return self.changed(
            traffic={k: v for k, v in self.traffic.items() if k in pairs},
            child_rekeys={k: v for k, v in self.child_rekeys.items() if k in pairs},
            ike_rekeys={k: v for k, v in self.ike_rekeys.items() if k in peerings},
            retransmissions={k: v for k, v in self.retransmissions.items() if k in peerings},
            dead_peers={k: v for k, v in self.dead_peers.items() if k in peerings},
            errors={k: v for k, v in self.errors.items() if k in peerings},
        )

    def changed(self, **changes: object) -> Tally:
        """Return the tally with these fields replaced."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _traffic(details: ChildDetails) -> Traffic:
    return Traffic(details.bytes_in, details.bytes_out, details.packets_in, details.packets_out)


def _one_more(counts: Mapping[ConnectionId, int], config: str) -> Mapping[ConnectionId, int]:
    peering = peering_of(config)
    return counts if peering is None else {**counts, peering: counts.get(peering, 0) + 1}
