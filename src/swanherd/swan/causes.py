"""What the signs of a failure mean: one cause, in a code for programs and words for people.

Pure. IKE hides some causes from the initiator on purpose (RFC 7296 §2.21.2): a wrong key looks
like a wrong identity, an unknown peer like a wrong proposal; the sentences say so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from swanherd.core.memo import remember
from swanherd.core.model import TrafficSelector
from swanherd.swan.codec import ConfigFacts
from swanherd.swan.events import TS_MISMATCH, Event, Exchange, Notice


class Facts(dict[str, ConfigFacts]):
    """What is known of a charon's configs, by name; once made nothing of it changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """A cause in words; a cause of higher `rank` is the more telling one."""

    rank: int
    text: str
    hint: str


CAUSES: Mapping[str, Cause] = {
    "psk_or_id_mismatch": Cause(
        2,
        "The peer refused our authentication.",
        "Compare the psk, and our local_id with the identity that the peer expects; "
        "IKE doesn't say which of them is wrong.",
    ),
    "psk_mismatch": Cause(
        2, "The peer's pre-shared key is not ours.", "Compare the psk on both sides."
    ),
    "peer_id_mismatch": Cause(
        3,
        "The peer presented an identity that isn't our peer_id.",
        "Set peer_id to the identity that the peer sends, or change it there.",
    ),
    "local_id_refused": Cause(
        2,
        "The peer doesn't accept our identity.",
        "Compare local_id with the identity that the peer expects of us.",
    ),
    "ike_proposal_mismatch": Cause(
        2,
        "The peer proposed other IKE algorithms than our ikepolicy.",
        "Make both IKE policies equal.",
    ),
    "ike_no_proposal_or_no_connection": Cause(
        2,
        "The peer has no connection for us with our ikepolicy.",
        "Compare IKE version, algorithms and group of both sides, and the peer's "
        "configuration of our address; IKE doesn't say which of them differs.",
    ),
    "esp_proposal_mismatch": Cause(
        2,
        "The two sides have no IPsec algorithms in common.",
        "Make both IPsec policies equal, the PFS group and the mode too.",
    ),
    "traffic_selector_mismatch": Cause(
        2,
        "The peer doesn't protect the networks that we do.",
        "Compare our local subnets and peer CIDRs with the peer's, the other way round.",
    ),
    "peer_refused": Cause(
        1, "The peer refused the negotiation.", "Look into the peer's log for the reason."
    ),
    "peer_unreachable": Cause(
        1,
        "There is no route to the peer's address.",
        "Check peer_address and the external network's gateway.",
    ),
    "peer_silent": Cause(
        1,
        "The peer doesn't answer.",
        "Check peer_address, and that UDP 500 and 4500 reach the peer.",
    ),
    "dpd_timeout": Cause(
        2, "The peer stopped answering.", "Check that the peer is up and reachable."
    ),
    "peer_deleted": Cause(2, "The peer ended the tunnel.", "Look into the peer's log."),
    "sa_expired": Cause(
        1,
        "The IKE SA reached its lifetime without a replacement.",
        "Compare the lifetimes and algorithms of both sides.",
    ),
    "install_failed": Cause(
        2,
        "The tunnel was negotiated but could not be installed on this node.",
        "The operator finds the cause in charon.log; the data plane may lack an algorithm.",
    ),
    "negotiation_unfinished": Cause(
        1, "The peer began a negotiation and didn't finish it.", "Compare the psk and identities."
    ),
    "child_refused": Cause(
        0,
        "The peer is authenticated but refused the tunnel.",
        "Compare the IPsec policies and the networks of both sides.",
    ),
    "negotiation_failed": Cause(
        0, "The negotiation with the peer failed.", "Look into the peer's log for the reason."
    ),
}

# Payloads by which a peer says that it won't, and that no other code stands for.
REFUSALS = frozenset(
    {
        "N(INVAL_SYN)",
        "N(INVAL_MAJOR)",
        "N(NO_ADD_SAS)",
        "N(SINGLE_PAIR)",
        "N(FAIL_CP_REQ)",
        "N(INT_ADDR_FAIL)",
        "N(UNEXPECT_NAT)",
        "N(INVAL_SEL)",
        "N(ATTR_UNSUP)",
        "N(CRIT)",
        "N(PLD_MAL)",
    }
)

# Types of error-notify's records (error_notify_msg.h) that mean the same in every situation.
_PLAIN = {
    2: "psk_or_id_mismatch",  # LOCAL_AUTH_FAILED
    7: "negotiation_unfinished",  # HALF_OPEN_TIMEOUT
    9: "esp_proposal_mismatch",  # PROPOSAL_MISMATCH_CHILD
    TS_MISMATCH: "traffic_selector_mismatch",
    11: "install_failed",  # INSTALL_CHILD_SA_FAILED
    12: "install_failed",  # INSTALL_CHILD_POLICY_FAILED
    27: "child_refused",  # KEEP_ON_CHILD_SA_FAILURE
    28: "sa_expired",  # IKE_SA_EXPIRED
}
_PEER_AUTH_FAILED, _PARSE_ERROR_BODY, _TIMEOUT, _IKE_PROPOSAL = 3, 5, 6, 8
RETRANSMIT, ANSWERED, _INIT_UNREACHABLE = 20, 21, 24

# Those records whose text says what the peer proposed.
TELLING = frozenset({_IKE_PROPOSAL, 9, TS_MISMATCH})


def code_of_notice(
    notice: Notice, *, is_v1: bool, up: int, carried: bool, no_route: bool
) -> str | None:
    """Return what a record means for a config of that version with so many IKE SAs that are up.

    One of several that is given up tells of no dead peer, who may have forgotten it alone. Nor
    does one that hasn't `carried` anything yet.
    """
    kind = notice.type
    if kind == _PEER_AUTH_FAILED:
        # Without a config charon found none for the two identities.
        return "peer_id_mismatch" if is_v1 or not notice.config else "psk_mismatch"
    if kind == _PARSE_ERROR_BODY:
        # Unreadable, since it was encrypted with keys from another PSK (RFC 2409 §5.4).
        return "psk_mismatch" if is_v1 and not up else None
    if kind == _IKE_PROPOSAL:
        ours = "ike_no_proposal_or_no_connection"
        return ours if notice.config else "ike_proposal_mismatch"
    if kind in (_TIMEOUT, RETRANSMIT, _INIT_UNREACHABLE):
        if up:
            if kind != _TIMEOUT or up > 1:
                return None
            return "dpd_timeout" if carried else "peer_silent"
        return "peer_unreachable" if no_route else "peer_silent"
    return _PLAIN.get(kind)


def is_sign(event: Event) -> TypeGuard[Notice]:
    """Tell whether it is a record after which IKE SAs may be other ones, or come to an end."""
    return isinstance(event, Notice) and event.type in (RETRANSMIT, TS_MISMATCH)


def refused(notice: Notice) -> frozenset[TrafficSelector]:
    """Return the pairs of networks that charon refused to a peer; either may be ours.

    In the text they stand as `… === …`, each side a list after words (error_notify_listener.c).
    """
    if notice.type != TS_MISMATCH or not notice.config:
        return frozenset()
    one, _, other = notice.text.partition(" === ")
    pairs = [(a, b) for a in _networks(one) for b in _networks(other)]
    return frozenset(TrafficSelector(*p) for a, b in pairs for p in ((a, b), (b, a)))


def _networks(text: str) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for word in text.split():
        # Not a word, a range, a protocol, or where the record cuts it off.
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_network(word)


def code_of_exchange(exchange: Exchange) -> str | None:
    """Return what an IKE message means, if it is a refusal."""
    payloads, kind = exchange.payloads, exchange.kind
    answers = exchange.received and not exchange.request
    if kind == "INFORMATIONAL_V1":
        return _code_of_v1_information(exchange)
    if kind == "INFORMATIONAL":
        # Only an initiator that doesn't accept the responder's identity or key sends this.
        ours = not exchange.received and exchange.request
        return "peer_id_mismatch" if ours and "N(AUTH_FAILED)" in payloads else None
    if kind == "IKE_SA_INIT" and "N(NO_PROP)" in payloads:
        return "ike_no_proposal_or_no_connection" if answers else "ike_proposal_mismatch"
    if kind in ("IKE_AUTH", "CREATE_CHILD_SA"):
        if "N(AUTH_FAILED)" in payloads:
            return "psk_or_id_mismatch" if answers else None
        if "N(TS_UNACCEPT)" in payloads:
            return "traffic_selector_mismatch"
        if "N(NO_PROP)" in payloads:
            return "esp_proposal_mismatch"
    return "peer_refused" if answers and payloads & REFUSALS else None


def _code_of_v1_information(exchange: Exchange) -> str | None:
    payloads = exchange.payloads
    protected = "HASH" in payloads  # that is: phase 1 is through (RFC 2409 §5.7)
    if "N(NO_PROP)" in payloads:
        if protected:
            return "esp_proposal_mismatch"
        received = "ike_no_proposal_or_no_connection"
        return received if exchange.received else "ike_proposal_mismatch"
    if "N(INVAL_ID)" in payloads and protected:
        return "traffic_selector_mismatch"
    if "N(AUTH_FAILED)" in payloads and exchange.received:
        return "local_id_refused"
    return "peer_refused" if exchange.received and payloads & REFUSALS else None


def concerned(config: str, peer: str, facts: Mapping[str, ConfigFacts]) -> tuple[str, ...]:
    """Return whose failure it is: the config named, else those of the peer, else of any peer."""
    if config:
        return (config,) if config in facts else ()
    by_remote = _by_remote(facts if isinstance(facts, Facts) else Facts(facts))
    return (by_remote.get(peer, ()) if peer else ()) or by_remote.get(_ANY, ())


# Nobody's address: of those whose peer may have any.
_ANY = ""


@remember
def _by_remote(facts: Facts) -> Mapping[str, tuple[str, ...]]:
    """Return the configs by their peer's address: strangers knock a thousand times a second."""
    found: dict[str, tuple[str, ...]] = {}
    for name, fact in facts.items():
        for remote in (*fact.remotes, *([_ANY] if fact.any_peer else [])):
            found[remote] = (*found.get(remote, ()), name)
    return found
