"""Since when each peer owes charon an answer: for dead peer detection by the agent's own timer.

charon tells each message that it makes and reads (group ENC of its log, fixed tokens), and each
time it sends one again (error-notify); so the time of the question is known exactly, and an agent
that comes later learns of it at the next retransmission.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from swanherd.core.ike import IkeSa
from swanherd.swan import causes
from swanherd.swan.events import Event, Exchange, IkeChange, IkeRekeyed, Notice


@dataclasses.dataclass(frozen=True, slots=True)
class Silence:
    """The time of the oldest request without an answer, by the IKE SA's unique id."""

    since: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def feed(self, event: Event, established: Iterable[int], now: float) -> Silence:
        """Return it after the event; `established` are the IKE SAs of the event's config."""
        match event:
            case Exchange(received=True, ike_id=ike_id):
                return self._without(ike_id)
            case Exchange(request=True, ike_id=ike_id) if ike_id and _is_question(event):
                return self._with([ike_id], now)
            case Notice(type=causes.RETRANSMIT):
                return self._with(established, now)
            case Notice(type=causes.ANSWERED):
                return self._without(*established)
            case IkeChange(unique_id=ike_id, up=False):
                return self._without(ike_id)
            case IkeRekeyed(old=ike_id):
                return self._without(ike_id)
            case _:
                return self

    def keep_only(self, ike_ids: Iterable[int], listed: float) -> Silence:
        """Return that of these IKE SAs alone, so that it doesn't grow for ever.

        They were listed at that time; what was asked since may be asked in another one.
        """
        if not self.since:
            return self
        kept = frozenset(ike_ids)
        return Silence({i: at for i, at in self.since.items() if i in kept or at > listed})

    def noted_in(self, sas: tuple[IkeSa, ...]) -> tuple[IkeSa, ...]:
        """Return the IKE SAs with the time since when one owes an answer."""
        since = self.since
        if not since:
            return sas
        return tuple(
            dataclasses.replace(sa, unanswered=since[sa.unique_id])
            if sa.unique_id in since
            else sa
            for sa in sas
        )

    def _with(self, ike_ids: Iterable[int], now: float) -> Silence:
        return Silence({**dict.fromkeys(ike_ids, now), **self.since})

    def _without(self, *ike_ids: int) -> Silence:
        if not any(i in self.since for i in ike_ids):
            return self
        return Silence({i: at for i, at in self.since.items() if i not in ike_ids})


def _is_question(request: Exchange) -> bool:
    """Tell whether a request is answered: IKEv1 has some that aren't.

    The third message of a mode (RFC 2409 §5.4, §5.5), and what informs (§5.7) but is no R-U-THERE
    (RFC 3706 §5.3).
    """
    match request.kind:
        case "QUICK_MODE" | "AGGRESSIVE":
            return "SA" in request.payloads
        case "INFORMATIONAL_V1":
            return "N(DPD)" in request.payloads
        case _:
            return True
