import dataclasses
import itertools
import re

from swanherd.core.health import Health
from swanherd.core.ike import ObservedCharon
from swanherd.core.metrics import METRICS, About, Kind, RouterSeen, Snapshot, metrics_of, plain
from swanherd.core.model import (
    DataPlane,
    HomeNamespace,
    Initiator,
    Reason,
    Role,
    RouterId,
    Status,
)
from swanherd.core.naming import pair_of, peering_id
from swanherd.core.network import ObservedNetwork
from swanherd.core.peering import children_of
from swanherd.core.planner import Observed
from swanherd.core.status import Trouble, status_of
from swanherd.core.tally import LastError, Tally, Traffic
from swanherd.core.turns import BOUNDS, Turns
from swanherd.testing import builders as make

SECRETS = ("correct horse battery staple", "k" * 64)


def seen(desired, tally=None, **charon):
    observed = ObservedCharon(running=True, **charon)
    report = status_of(
        desired, Observed(ObservedNetwork(exists=True), observed), DataPlane.KERNEL, Trouble()
    )
    return RouterSeen(desired, observed.running, report, tally or Tally(), 9_000_000)


def snapshot(*routers, **changes):
    fields = {
        "about": About("1.0", "ovn", DataPlane.KERNEL),
        "now": 100.0,
        "clock": 1_000_000.0,
        "turns": Turns(ended=90.0),
        "waiting": 0,
        "health": Health(True, True, ()),
        "fenced": False,
        "routers": {r.desired.id: r for r in routers},
        "failures": {},
    }
    return Snapshot(**(fields | changes))


def values(families, name):
    return next((dict(f.samples) for f in families if f.metric.name == name), {})


CONNECTION = make.connection()
PAIR = pair_of(next(iter(children_of(CONNECTION))))
LABELS = (make.ROUTER, CONNECTION.id)


def test_configured_but_down_is_told():
    """Such a connection is enabled and not up, with the code of the cause."""
    waiting = dataclasses.replace(CONNECTION, initiator=Initiator.RESPONSE_ONLY)
    found = metrics_of(snapshot(seen(make.desired(waiting))))
    assert values(found, "swanherd_connection_enabled") == {LABELS: 1}
    assert values(found, "swanherd_connection_up") == {LABELS: 0}
    assert values(found, "swanherd_connection_status") == {(*LABELS, Status.DOWN): 1}
    assert values(found, "swanherd_connection_problem") == {(*LABELS, "waiting_for_peer"): 1}
    assert values(found, "swanherd_connection_pairs") == {LABELS: 1}
    assert values(found, "swanherd_connection_pairs_carried") == {LABELS: 0}


def test_administratively_down_is_not_the_same():
    """It isn't enabled, and protects no pair."""
    off = dataclasses.replace(CONNECTION, up=False)
    found = metrics_of(snapshot(seen(make.desired(off))))
    assert values(found, "swanherd_connection_enabled") == {LABELS: 0}
    assert values(found, "swanherd_connection_pairs") == {LABELS: 0}


def test_counters_are_each_connections_own():
    """By its pairs of networks, and by the peering that it is a part of."""
    peering = peering_id(CONNECTION, make.desired().naming_key)
    tally = Tally(
        traffic={PAIR: Traffic(1, 2, 3, 4), "0" * 12: Traffic(9, 9, 9, 9)},
        child_rekeys={PAIR: 5},
        ike_rekeys={peering: 6},
        retransmissions={peering: 7},
        dead_peers={peering: 8},
        errors={peering: LastError("psk_mismatch", 40.0)},
    )
    found = metrics_of(snapshot(seen(make.desired(CONNECTION), tally)))
    assert values(found, "swanherd_connection_bytes_total") == {
        (*LABELS, "in"): 1,
        (*LABELS, "out"): 2,
    }
    assert values(found, "swanherd_connection_packets_total") == {
        (*LABELS, "in"): 3,
        (*LABELS, "out"): 4,
    }
    assert values(found, "swanherd_connection_rekeys_total") == {
        (*LABELS, "child"): 5,
        (*LABELS, "ike"): 6,
    }
    assert values(found, "swanherd_connection_retransmissions_total") == {LABELS: 7}
    assert values(found, "swanherd_connection_dead_peer_total") == {LABELS: 8}
    last = values(found, "swanherd_connection_last_error_timestamp_seconds")
    assert last == {(*LABELS, "psk_mismatch"): 1_000_040.0}


def test_who_stands_by_tells_nothing_of_connections():
    """Else each would be told as down by every gateway but one."""
    standby = make.desired(CONNECTION, role=Role.STANDBY)
    found = metrics_of(snapshot(seen(standby)))
    assert not any(f.metric.name.startswith("swanherd_connection") for f in found)
    assert values(found, "swanherd_routers") == {("active",): 0, ("standby",): 1}
    assert values(found, "swanherd_charon_up") == {(make.ROUTER, "qvpn"): 1}


def test_a_namespace_that_only_steers_has_no_charon():
    """And the namespaces of one router are told apart."""
    router = make.desired(CONNECTION)
    steers = seen(make.at_home(router, make.distributed_home(None)))
    serves = seen(make.at_home(router, make.distributed_home(HomeNamespace.CENTRAL)))
    routers = {
        RouterId(f"{kind}-{router.id}"): one
        for kind, one in ((HomeNamespace.ROUTER, steers), (HomeNamespace.CENTRAL, serves))
    }
    found = metrics_of(snapshot(routers=routers))
    assert set(values(found, "swanherd_charon_up")) == {(router.id, "snat")}
    ready = values(found, "swanherd_router_ready")
    assert set(ready) == {(router.id, "snat"), (router.id, "qrouter")}
    assert set(values(found, "swanherd_connection_up")) == {LABELS}


def test_no_label_says_more_than_it_may():
    """No name, address, network, key or sentence: ids and words of ours, all of them short."""
    sly = dataclasses.replace(
        CONNECTION, local_id="west.example", peer_id="@east", peer_address="peer.example"
    )
    failures = {make.ROUTER: Reason('bad"code\n', "see 198.51.100.2", "")}
    found = metrics_of(snapshot(seen(make.desired(sly)), failures=failures))
    labels = {v for f in found for values, _ in f.samples for v in values}
    assert all(re.fullmatch(r"[A-Za-z0-9_.+-]{1,64}", label) for label in labels)
    for word in (*SECRETS, "203.0.113", "198.51", "example", "east", "10.1", "bad"):
        assert not any(word in label for label in labels)
    assert plain("a b") == plain("") == plain("x" * 65) == "other"


def test_each_sample_has_its_metrics_labels_and_is_told_once():
    """For every metric of the table, so that Prometheus takes the page."""
    peering = peering_id(CONNECTION, make.desired().naming_key)
    tally = Tally(errors={peering: LastError("psk_mismatch", 1.0)})
    failures = {make.ROUTER: Reason("charon_silent", "")}
    waiting = seen(make.desired(CONNECTION), tally)
    found = metrics_of(snapshot(waiting, failures=failures))
    health = {"swanherd_check_ok"}
    assert {f.metric.name for f in found} == METRICS.keys() - health
    for family in found:
        labels = [values for values, _ in family.samples]
        assert len(set(labels)) == len(labels)
        if family.metric.kind is not Kind.HISTOGRAM:
            assert {len(values) for values in labels} == {len(family.metric.labels)}


def test_buckets_grow():
    """Each includes those before it; the last one is the number of all turns."""
    turns = Turns(ended=0.0, buckets=(1,) * (len(BOUNDS) + 1), seconds=77.0)
    found = metrics_of(snapshot(turns=turns))
    family = next(f for f in found if f.metric.kind is Kind.HISTOGRAM)
    counts = [number for _, number in family.samples]
    assert counts == list(itertools.accumulate(turns.buckets))
    assert (family.samples[-1][0], counts[-1], family.total) == (("+Inf",), turns.count, 77.0)


def test_a_turn_that_does_not_end_is_seen():
    """As the seconds that the longest one has taken so far."""
    turns = Turns(ended=0.0, running={RouterId("a"): 90.0, RouterId("b"): 70.0})
    assert values(metrics_of(snapshot(turns=turns)), "swanherd_turn_running_seconds") == {(): 30.0}
    assert values(metrics_of(snapshot()), "swanherd_turn_running_seconds") == {(): 0.0}


def test_names_follow_prometheus():
    """Counters end in _total and nothing else does; every metric says what it means."""
    for metric in METRICS.values():
        assert re.fullmatch(r"swanherd_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.meaning.endswith(".")
