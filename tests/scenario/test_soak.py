"""No false DOWN: rekeys, dead peer detection and changes for minutes, and the API never says it.

`make soak MINUTES=60` runs it for as long; `make scenario-failover` for three minutes.
"""

import dataclasses
import itertools
import json
import os
import threading
import time

import pytest

from lab.layout import ROOT
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import child_sas, join
from tests.scenario.closed import closed

MINUTES = float(os.environ.get("MINUTES") or 3)
CHANGE_EVERY = 20.0  # seconds
RESULT = ROOT / "build" / "soak.json"
SHORT = {"lifetime": {"units": "seconds", "value": 60}}
DPD = {"action": "restart", "interval": 2, "timeout": 6}


@dataclasses.dataclass
class Seen:
    """What the API said of one connection."""

    samples: int = 0
    other: list = dataclasses.field(default_factory=list)  # what isn't ACTIVE: cause, id, when


class Watch:
    """Asks one cloud for its connections, five times a second."""

    def __init__(self, cloud):
        self.seen = {}
        self._network = cloud.connect().network
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.2):
            reply = self._network.get("/vpn/ipsec-site-connections")
            for each in reply.json()["ipsec_site_connections"]:
                seen = self.seen.setdefault(each["id"], Seen())
                seen.samples += 1
                if each["status"] != "ACTIVE":
                    seen.other.append(
                        (each["status"], each["status_code"], each["id"], time.time())
                    )

    def stop(self):
        self._stop.set()
        self._thread.join()


def changes(pairs):
    """Yield changes without end; each is applied on all that it must be."""
    for number in itertools.count(1):
        pair = pairs[number % len(pairs)]
        yield lambda p=pair, n=number: _put(p, mtu=1280 + n % 100)
        yield lambda p=pair, n=number: _put(p, psk=f"soak key {n}")
        yield lambda p=pair, n=number: _put(p, dpd=DPD | {"interval": 2 + n % 2})
        yield lambda p=pair, n=number: _put(p, name=f"soaked {n} times")
        yield lambda p=pair, n=number: _repolicy(p, n)


def _put(pair, **attributes):
    for ids in pair.connections:
        for end, connection_id in zip(pair.ends, ids, strict=True):
            end.client.network.update_vpn_ipsec_site_connection(connection_id, **attributes)


def _repolicy(pair, number):
    algorithm = ("aes-128", "aes-256")[number % 2]
    for end in pair.ends:
        end.client.network.update_vpn_ipsec_policy(end.ipsec.id, encryption_algorithm=algorithm)


@pytest.fixture(scope="module")
def pairs(make_pair):
    """Two joined pairs with lifetimes of a minute, one for each version of IKE."""
    made = []
    for version in ("v2", "v1"):
        pair = make_pair(inner=(4,), ike={"ike_version": version, **SHORT}, ipsec=SHORT)
        pair.connections = (join(*pair.ends, 4, 4, dpd=DPD),)
        pair.up(60)
        made.append(pair)
    return made


@pytest.fixture
def closed_meanwhile(lab, pairs):
    """Nothing leaves in clear or comes in, all the time."""
    with closed(lab, *pairs):
        yield


def told(pairs, watches, done):
    """Write what was seen so far, and return which answers were false."""
    seen = {i: s for watch in watches for i, s in watch.seen.items()}
    ids = [[i for both in pair.connections for i in both if i in seen] for pair in pairs]
    others = [[other for i in each for other in tuple(seen[i].other)] for each in ids]
    wrong = [[other for other in each if other[0] != "PENDING_UPDATE"] for each in others]
    false = [other for each in wrong for other in each]
    result = {
        **done,
        "samples": sum(seen[i].samples for each in ids for i in each),
        "PENDING_UPDATE": sum(map(len, others)) - len(false),
        "other (v2, v1)": list(map(len, wrong)),
        "the first of them": false[:20],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1))
    return false


@pytest.mark.timeout(MINUTES * 60 + 600)
def test_no_connection_is_ever_said_to_be_down(clouds, closed_meanwhile, pairs):
    """Through rekeys and changes only ACTIVE and, after a change, PENDING_UPDATE are seen."""
    watches = [Watch(cloud) for cloud in clouds]
    streams = [Stream.start(pair.here, pair.there.ipv4) for pair in pairs]
    sas = [set() for _ in pairs]
    start = time.monotonic()
    done = {}
    for made, change in enumerate(changes(pairs), 1):
        began = time.monotonic()
        if began > start + MINUTES * 60:
            break
        change()
        for index, pair in enumerate(pairs):
            sas[index] |= child_sas(pair.one)
        done = {
            "minutes": round((began - start) / 60, 1),
            "changes": made,
            "child SAs (v2, v1)": [len(s) for s in sas],
        }
        told(pairs, watches, done)
        wait_for(
            lambda t=began: time.monotonic() > t + CHANGE_EVERY,
            CHANGE_EVERY + 5,
            "time",
            every=0.5,
        )
    for pair in pairs:
        pair.up()
    losses = [each.stop().lost for each in streams]
    for watch in watches:
        watch.stop()
    assert told(pairs, watches, done | {"lost (v2, v1)": losses}) == []
