import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import (
    ChildDetails,
    IkeDetails,
    IkeVersion,
    Reason,
    RouterReport,
    RowStatus,
    Status,
    TunnelDetails,
)
from swanherd.server import told
from swanherd.server.db import history
from tests.unit.server.cloud import uuid

CHILD = ChildDetails(
    "10.1.0.0/24", "10.9.0.0/24", "aes-256", "sha256", None, 100, 200, 1, 2, 10, 3000, 3600
)
IKE = IkeDetails(IkeVersion.V2, "aes-256", "sha256", "sha256", "group19", True, 10, 3000, False)
TUNNEL = TunnelDetails(IKE, (CHILD,))


def later(seconds, **counters):
    """Return the tunnel as it is seconds later, if nothing was negotiated meanwhile."""
    child = dataclasses.replace(CHILD, installed=CHILD.installed + seconds, **counters)
    ike = dataclasses.replace(IKE, established=IKE.established + seconds)
    return TunnelDetails(ike, (child,))


def say(cloud, made, status=Status.ACTIVE, reason=None, details=None, mtu=None):
    row = cloud.row()
    rows = (RowStatus(made["id"], status, reason, mtu, details),)
    report = RouterReport(uuid("r1"), row.revision, row.epoch, (), rows)
    cloud.intake.take(cloud.fresh(), "g1", [report])


def placed(cloud):
    cloud.backend.host = "g1"
    cloud.backend.addresses = ("203.0.113.20", None)
    return cloud.connection()


def shown(cloud, made):
    return cloud.show("ipsec_site_connection", made["id"])


def test_what_an_agent_tells_is_shown(cloud):
    """The owner sees revisions, the MTU and what was negotiated, and when it was so."""
    made = placed(cloud)
    assert (made["details"], made["effective_mtu"], made["revision_applied"]) == (None, None, 0)
    say(cloud, made, details=TUNNEL, mtu=1400)
    seen = shown(cloud, made)
    assert seen["revision_wanted"] == seen["revision_applied"] == cloud.row().revision
    assert seen["effective_mtu"] == 1400
    assert seen["details"] == {
        "at": "2026-11-23T12:00:00Z",
        "ike": {
            "version": "v2",
            "encryption": "aes-256",
            "integrity": "sha256",
            "prf": "sha256",
            "dh_group": "group19",
            "initiator": True,
            "established_s": 10,
            "rekey_in_s": 3000,
            "nat": False,
        },
        "children": [
            {
                "local": "10.1.0.0/24",
                "remote": "10.9.0.0/24",
                "encryption": "aes-256",
                "integrity": "sha256",
                "dh_group": None,
                "bytes_in": 100,
                "bytes_out": 200,
                "packets_in": 1,
                "packets_out": 2,
                "installed_s": 10,
                "rekey_in_s": 3000,
                "expires_in_s": 3600,
            }
        ],
    }
    say(cloud, made, Status.DOWN)
    assert shown(cloud, made)["details"] is None
    assert json.dumps(seen), "it is JSON"


def test_of_a_lost_agent_nothing_is_told(cloud):
    """Details are null rather than of an unknown past."""
    made = placed(cloud)
    say(cloud, made, details=TUNNEL, mtu=1400)
    cloud.intake.agents_lost(cloud.fresh(), [])
    seen = shown(cloud, made)
    assert (seen["details"], seen["effective_mtu"]) == (None, None)


def test_packets_alone_are_written_once_in_an_interval(cloud):
    """The counters in the database are at most an interval old, and aren't written for each."""
    made = placed(cloud)
    say(cloud, made, details=TUNNEL)
    seen = []
    for seconds in range(10, 130, 10):
        cloud.clock.advance(10)
        say(cloud, made, details=later(seconds, bytes_in=100 + seconds))
        seen.append(shown(cloud, made)["details"]["children"][0]["bytes_in"])
    assert seen == [100] * 5 + [160] * 6 + [220]


@given(st.integers(0, 10_000))
def test_a_quiet_tunnel_is_never_news(elapsed):
    """Time alone changes nothing that isn't known from `at`."""
    known = told.as_shown(TUNNEL)
    assert not told.is_news(known, told.as_shown(later(elapsed)), elapsed, every=60)


def test_what_is_negotiated_is_news_at_once():
    """Other algorithms, a rekeyed child, a child more: each is written with the next report."""
    known = told.as_shown(TUNNEL)
    rekeyed = dataclasses.replace(CHILD, installed=0)
    for changed in (
        TunnelDetails(dataclasses.replace(IKE, established=20, nat=True), (CHILD,)),
        TunnelDetails(dataclasses.replace(IKE, established=20), (rekeyed,)),
        TunnelDetails(IKE, (CHILD, CHILD)),
        TunnelDetails(IKE),
    ):
        assert told.is_news(known, told.as_shown(changed), 10, every=60)


def test_events_are_the_last_changes_newest_first(cloud):
    """Each change of status or cause, once, with its time; no more than twenty."""
    made = placed(cloud)
    cause = Reason("peer_silent", "The peer doesn't answer. " * 40)
    for _ in range(15):
        cloud.clock.advance(60)
        say(cloud, made)
        say(cloud, made)
        say(cloud, made, Status.DOWN, cause)
    seen = shown(cloud, made)
    events = seen["events"]
    assert len(events) == history.MAX_EVENTS
    assert [e["status"] for e in events[:3]] == ["DOWN", "ACTIVE", "DOWN"]
    assert events[0]["code"] == "peer_silent"
    assert events[0]["text"] == cause.text[: history.EVENT_TEXT_SIZE]
    assert events[0]["at"] == seen["status_since"] == "2026-11-23T12:15:00Z"
    service = cloud.show("vpnservice", made["vpnservice_id"])
    assert [e["status"] for e in service["events"]] == ["PENDING_CREATE"]
    assert service["revision_wanted"] > service["revision_applied"] == 0
