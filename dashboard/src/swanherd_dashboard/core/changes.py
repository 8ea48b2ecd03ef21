"""What an edit does to the live tunnel, said before it is confirmed (docs/live.md)."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from swanherd_dashboard.core.words import gettext_noop


class Effect(enum.IntEnum):
    """How much a change touches the tunnel, the gentlest first."""

    NOTHING = 0
    ROUTES = 1
    CHILDREN = 2
    SWAP = 3
    PASSIVE_SWAP = 4
    ENDS = 5


SENTENCES = {
    Effect.NOTHING: gettext_noop("The tunnel isn't touched."),
    Effect.ROUTES: gettext_noop(
        "Routes and TCP segment sizes follow; the tunnel itself isn't touched."
    ),
    Effect.CHILDREN: gettext_noop(
        "Only the networks' own tunnels that differ are made or ended, the new ones first; "
        "others go on without a loss."
    ),
    Effect.SWAP: gettext_noop(
        "The tunnel is replaced: the new one comes up first, then the old one ends; about one "
        "packet may be lost, a few with IKEv1. If the other side refuses, the old tunnel stays "
        "for a grace time (300 s by default)."
    ),
    Effect.PASSIVE_SWAP: gettext_noop(
        "This side only responds, so the tunnel ends at once, and the peer has to come again."
    ),
    Effect.ENDS: gettext_noop("The tunnel ends, and packets between the networks are blocked."),
}

_SWAPPING = frozenset(
    {"psk", "local_id", "peer_id", "peer_address", "dpd", "ikepolicy_id", "enabling"}
)
_CHILDREN = frozenset({"peer_cidrs", "local_ep_group_id", "peer_ep_group_id", "ipsecpolicy_id"})


CHILD_SWAP = gettext_noop(
    "The networks' own tunnels are replaced, the new ones first; about one packet may be lost, a "
    "few with IKEv1."
)
PASSIVE_SWAP = gettext_noop(
    "Where this side only responds, the tunnel ends at once, and the peer has to come again."
)
FOLLOW = gettext_noop("The other side must be changed to match.")
PASSIVE_CHILDREN = gettext_noop(
    "Where this side only responds, the tunnels stay as they are until the peer negotiates new "
    "ones."
)


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A connection that uses a policy."""

    id: str
    label: str
    response_only: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """The effect of a change, its sentence, and what else concerns the reader."""

    effect: Effect
    sentences: tuple[str, ...]


def outlook(
    changed: frozenset[str], *, response_only: bool, disabling: bool, sharing: int = 0
) -> Outlook:
    """Return what changing these attributes does.

    `sharing`: how many other connections share the IKE SA, and are replaced with it.
    """
    effect = Effect.NOTHING
    if "mtu" in changed:
        effect = Effect.ROUTES
    if _CHILDREN & changed:
        effect = Effect.CHILDREN
    if _SWAPPING & changed:
        effect = Effect.PASSIVE_SWAP if response_only else Effect.SWAP
    if disabling:
        effect = Effect.ENDS
    said = [SENTENCES[effect]]
    if effect in (Effect.SWAP, Effect.PASSIVE_SWAP):
        if sharing:
            said.append(
                gettext_noop(
                    "Other connections to the same peer with the same identities share it; they "
                    "are replaced too, and must be given the same values."
                )
            )
        if changed & {"psk", "ikepolicy_id", "local_id", "peer_id"}:
            said.append(FOLLOW)
    return Outlook(effect, tuple(said))


def of_policy(kind: str, changed: frozenset[str], users: Sequence[User]) -> tuple[str, ...]:
    """Return what changing these attributes of an `ike` or `ipsec` policy does to its users."""
    if not users or not changed - {"name", "description"}:
        return (SENTENCES[Effect.NOTHING],)
    actively = not all(user.response_only for user in users)
    passively = any(user.response_only for user in users)
    active, passive = SENTENCES[Effect.SWAP], PASSIVE_SWAP
    if kind == "ipsec":
        active, passive = CHILD_SWAP, PASSIVE_CHILDREN
    said = [active] * actively + [passive] * passively
    if changed - {"name", "description", "lifetime"}:
        said.append(FOLLOW)
    return tuple(said)
