"""Each cause of failure has its own code, sentence and hint in the API, on both sides.

All faults happen at once: connections that a responder can tell apart share a pair of routers.
One end begins, the other only responds. An agent's faults and this process have one monotonic
clock, so the API's delay is measured from when the gateway knew.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import threading
import time

import pytest

from lab.addresses import give_address, narrow_pools, set_pools, take_address
from lab.boxes import Box
from lab.layout import INTERNET_BOX, ROOT, LabError
from lab.processes import wait_for
from lab.sites import add_subnet, make_site
from lab.vpn import STRONG, doctor, kill_charons, make_end, remove_end, views
from swanherd.cmd import findings
from tests.scenario.conftest import kind_of

# The first test waits for all faults, and for the doctor, on a busy machine perhaps.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.long]

KEY = "the lab's own key"
OTHER_KEY = "0ther than the lab's"
SILENT = "203.0.113.9"  # nobody has it
WITHIN = 2.0  # seconds from the gateway's knowing to the API's showing
_rooms = itertools.count(1)


@dataclasses.dataclass
class Room:
    """A pair of routers; `links` join the west's one subnet with one of the east's each."""

    west: object
    east: object
    links: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Link:
    """One connection of each side; `mend` ends its fault.

    `knew`: when the server itself knew of the fault, by router and code.
    """

    name: str
    room: Room
    expected: tuple  # the code of who begins, and of who responds (None: it can't know)
    ids: tuple = ()
    mend: object = None
    knew: dict = dataclasses.field(default_factory=dict)


class Watch:
    """Reads both clouds' connections again and again; remembers when each code came first."""

    def __init__(self, clouds):
        self._stop = threading.Event()
        self.first = {}  # connection id → code → (when, the sentence)
        self.now = {}
        self._threads = [threading.Thread(target=self._run, args=(c,)) for c in clouds]
        for thread in self._threads:
            thread.start()

    def _run(self, cloud):
        network = cloud.connect().network
        # It would look for proxies in os.environ, which pytest changes for each test meanwhile.
        network.session.session.trust_env = False
        while not self._stop.wait(0.1):
            reply = network.get("/vpn/ipsec-site-connections")
            for each in reply.json()["ipsec_site_connections"]:
                self.now[each["id"]] = each
                if each["status_code"]:
                    told = (time.monotonic(), each["status_reason"])
                    self.first.setdefault(each["id"], {}).setdefault(each["status_code"], told)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def make_room(clouds, number, links, **policies):
    """Make a pair of routers, the east's with a subnet for each link."""
    west_cloud, east_cloud = clouds
    client, west_cidr = west_cloud.connect(), f"10.{number}.0.0/24"
    west = make_end(
        west_cloud,
        client,
        make_site(west_cloud, client, f"t{number}-w", [west_cidr], kind=kind_of(west_cloud)),
        **policies,
    )
    client = east_cloud.connect()
    cidrs = [f"10.{number}.{n + 1}.0/24" for n in range(links)]
    site = make_site(east_cloud, client, f"t{number}-e", cidrs[:1], kind=kind_of(east_cloud))
    for cidr in cidrs[1:]:
        add_subnet(client, site, cidr)
    return Room(west, make_end(east_cloud, client, site, **policies))


def post(end, name, peer, local, remote, **attributes):
    """Make a connection with endpoint groups of its own."""
    network = end.client.network
    groups = [
        network.create_vpn_endpoint_group(name=name, type=kind, endpoints=[value])
        for kind, value in (("subnet", end.site.subnets[local]), ("cidr", remote))
    ]
    made = network.create_vpn_ipsec_site_connection(
        **{
            "name": name,
            "vpnservice_id": end.service.id,
            "ikepolicy_id": end.ike.id,
            "ipsecpolicy_id": end.ipsec.id,
            "local_ep_group_id": groups[0].id,
            "peer_ep_group_id": groups[1].id,
            "peer_address": peer,
            "psk": KEY,
            "dpd": {"action": "restart", "interval": 2, "timeout": 4},
            **attributes,
        }
    )
    end.made += [("connection", made.id), *(("group", group.id) for group in groups)]
    return made.id


def put(end, connection_id, **attributes):
    """Change a connection."""
    end.client.network.update_vpn_ipsec_site_connection(connection_id, **attributes)


def join(room, name, expected, *, west=None, east=None, cidr=None):
    """Join the room's next subnet; `west` and `east` are what each side has otherwise."""
    number = len(room.links)
    here, there = next(iter(room.west.site.subnets)), list(room.east.site.subnets)[number]
    link = Link(name, room, expected)
    mine, yours = f"w{number}.example.org", f"e{number}.example.org"
    # Who responds is ready before who begins.
    responder = {"local_id": yours, "peer_id": mine, "initiator": "response-only", **(east or {})}
    second = post(room.east, name, room.west.address(4), there, cidr or here, **responder)
    beginner = {"local_id": mine, "peer_id": yours, **(west or {})}
    peer = beginner.pop("peer", room.east.address(4))
    first = post(room.west, name, peer, here, there, **beginner)
    link.ids = (first, second)
    room.links.append(link)
    return link


# What is broken, and by what it is mended


def policy(room, **attributes):
    """Return the id of another IPsec policy on the east side."""
    made = room.east.client.network.create_vpn_ipsec_policy(
        name="other",
        auth_algorithm="sha256",
        pfs="group19",
        encryption_algorithm="aes-256",
        **attributes,
    )
    return made.id


def other_algorithm(room):
    """Both have a policy, but not the same algorithm."""
    made = policy(room)
    network = room.east.client.network
    network.update_vpn_ipsec_policy(made, encryption_algorithm="aes-128")
    link = join(room, "esp", ("esp_proposal_mismatch",) * 2, east={"ipsecpolicy_id": made})
    link.mend = lambda: network.update_vpn_ipsec_policy(made, encryption_algorithm="aes-256")


def other_networks(room):
    """The east protects another network than the west asks for."""
    link = join(room, "ts", ("traffic_selector_mismatch",) * 2, cidr="10.255.0.0/24")
    here = next(iter(room.west.site.subnets))

    def mend():
        network = room.east.client.network
        group = network.create_vpn_endpoint_group(name="ts", type="cidr", endpoints=[here])
        room.east.made.append(("group", group.id))
        put(room.east, link.ids[1], peer_ep_group_id=group.id)

    link.mend = mend


def other_key(room, expected):
    """The two keys differ."""
    link = join(room, "psk", expected, east={"psk": OTHER_KEY})
    link.mend = lambda: put(room.east, link.ids[1], psk=KEY)


def other_identity(room, expected):
    """The east expects another identity of the west."""
    link = join(room, "id", expected, east={"peer_id": "other.example.org"})
    link.mend = lambda: put(room.east, link.ids[1], peer_id="w0.example.org")


def other_ike(room):
    """The IKE policies differ."""
    network, made = room.east.client.network, room.east.ike.id
    network.update_vpn_ike_policy(made, encryption_algorithm="aes-128")
    codes = ("ike_no_proposal_or_no_connection", "ike_proposal_mismatch")
    link = join(room, "ike", codes)
    link.mend = lambda: network.update_vpn_ike_policy(made, encryption_algorithm="aes-256")


def wrong_peer(room, name, peer, code):
    """The west asks somebody else, who is silent or refuses."""
    link = join(room, name, (code, "waiting_for_peer"), west={"peer": peer})
    link.mend = lambda: put(room.west, link.ids[0], peer_address=room.east.address(4))


def later(link, act, mend):
    """Break a tunnel that was up."""
    link.mend = mend
    return link, act


def ended_by_peer(room):
    """The east takes its connection down."""
    link = join(room, "deleted", ("peer_deleted", "admin_down"))

    def switch(*, up):
        put(room.east, link.ids[1], admin_state_up=up)

    return later(link, lambda: switch(up=False), lambda: switch(up=True))


def cut_off(room):
    """The way between the two is cut."""
    link = join(room, "dpd", ("dpd_timeout", "dpd_timeout"))
    inet = Box(room.west.cloud.lab, INTERNET_BOX)
    ways = [f"blackhole {end.address(4)}/32" for end in (room.west, room.east)]
    return later(
        link,
        lambda: inet.ip(*(f"route add {way}" for way in ways)),
        lambda: inet.ip(*(f"route del {way}" for way in ways)),
    )


def dead_daemon(room):
    """The west's charon dies and can't be started again."""
    link = join(room, "charon", ("charon_start_failed", None))
    boxes = room.west.cloud.gateways

    def act():
        for box in boxes:
            box.run(["mount", "--bind", "/bin/false", "/usr/sbin/charon-systemd"])
        kill_charons(room.west)

    def mend():
        for box in boxes:
            box.run(["umount", "/usr/sbin/charon-systemd"])

    return later(link, act, mend)


def no_address(room):
    """Both VPNs lose their public addresses while the networks have none to give."""
    codes = tuple(
        "public_port_no_address" if end.cloud.plan.has_ovn else "no_public_address"
        for end in _ends(room)
    )
    link, same = join(room, "v2", codes), join_by_v1(room, codes)
    pools, had = [], []

    def act():
        for end, code in zip(_ends(room), codes, strict=True):
            pools.append(narrow_pools(end.cloud, end.site.router_addresses))
            had.append(take_address(end))
            link.knew[end.site.router_id, code] = time.monotonic()
        same.knew = link.knew

    def mend():
        try:
            for end, addresses in zip(_ends(room), had, strict=False):
                give_address(end, addresses)
        finally:
            for end, before in zip(_ends(room), pools, strict=False):
                set_pools(end.cloud, before)

    return later(link, act, mend), later(same, lambda: None, lambda: None)


def join_by_v1(room, codes):
    """Join the room's next subnet by IKEv1, whatever the others have."""
    sides = [
        end.client.network.create_vpn_ike_policy(name="v1", ike_version="v1", **STRONG).id
        for end in _ends(room)
    ]
    west, east = ({"ikepolicy_id": policy_id} for policy_id in sides)
    return join(room, "v1", codes, west=west, east=east)


def twins(room, *, same_ids):
    """Two connections of the west have the same peer, but not the same key.

    In IKEv2 it takes the same identities too; IKEv1 looks the key up by addresses.
    """
    same, other = {}, {}
    if same_ids:
        same = {"local_id": "w0.example.org", "peer_id": "e0.example.org"}
        other = {"local_id": "e0.example.org", "peer_id": "w0.example.org"}
    link = join(
        room,
        "twin",
        (None, None),
        west={**same, "psk": OTHER_KEY},
        east={**other, "psk": OTHER_KEY},
    )

    def mend():
        for end, connection_id in zip((room.west, room.east), link.ids, strict=True):
            put(end, connection_id, psk=KEY)

    link.mend = mend


ROOMS = {  # name → links, IKE version
    "v2": (6, "v2"),
    "v1": (5, "v1"),
    "v2-id": (1, "v2"),
    "v1-id": (1, "v1"),
    "v1-psk": (1, "v1"),
    "v2-ike": (1, "v2"),
    "v1-ike": (1, "v1"),
    "v1-dpd": (1, "v1"),
    "v2-dead": (1, "v2"),
    "address": (2, "v2"),
    "v2-twin": (2, "v2"),
    "v1-twin": (2, "v1"),
}


@pytest.fixture(scope="module")
def rooms(clouds):
    """All pairs of routers, two at once: of four, Neutron's API has stood still twice.

    The first alone: a project's first redundant router makes a network for all of them, and of
    two at once Neutron refuses one.
    """

    def make(number, name):
        links, version = ROOMS[name]
        return make_room(clouds, 200 + number, links, ike={"ike_version": version})

    first, *others = ROOMS
    rooms = {first: make(0, first)}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = {name: pool.submit(make, n, name) for n, name in enumerate(others, 1)}
        rooms |= {name: future.result() for name, future in made.items()}
    yield rooms
    if os.environ.get("KEEP"):
        return
    for room in rooms.values():
        for end in (room.west, room.east):
            remove_end(end)


def break_all(rooms):
    """Make all connections; return the acts that break those that must be up before."""
    acts = [
        ended_by_peer(rooms["v2"]),
        ended_by_peer(rooms["v1"]),
        cut_off(rooms["v1-dpd"]),
        dead_daemon(rooms["v2-dead"]),
        *no_address(rooms["address"]),
    ]
    for name, elsewhere in (("v2", "v2-ike"), ("v1", "v1-psk")):
        other_algorithm(rooms[name])
        other_networks(rooms[name])
        wrong_peer(rooms[name], "silent", SILENT, "peer_silent")
        elsewhere = rooms[elsewhere].east.address(4)
        wrong_peer(rooms[name], "refuses", elsewhere, "ike_no_proposal_or_no_connection")
        other_ike(rooms[f"{name}-ike"])
    other_key(rooms["v2"], ("psk_or_id_mismatch", "psk_mismatch"))
    other_key(rooms["v1-psk"], ("psk_mismatch", "psk_mismatch"))
    other_identity(rooms["v2-id"], ("psk_or_id_mismatch", "peer_id_mismatch"))
    other_identity(rooms["v1-id"], ("local_id_refused", "peer_id_mismatch"))
    for version in ("v2", "v1"):
        room = rooms[f"{version}-twin"]
        join(room, "plain", (None, None)).mend = lambda: None
        twins(room, same_ids=version == "v2")
    return acts


@dataclasses.dataclass
class Story:
    """What happened: by connection, the codes; by router, the faults that its agent knew.

    `doctors`: by connection, what `swanherdctl doctor` says of it while it is broken; `left`: what
    it says of those that were mended and don't come up.
    """

    links: dict
    watch: Watch
    known: dict
    doctors: dict
    left: dict


@pytest.fixture(scope="module")
def story(clouds, rooms):
    """Break everything, look, mend everything."""
    watch = Watch(clouds)
    try:
        acts = break_all(rooms)
        links = {f"{name}/{k.name}": k for name, room in rooms.items() for k in room.links}
        for link, _ in acts:
            wait_for(lambda k=link: _active(watch, k), 90, f"{link.name} is up before")
        try:
            for _, act in acts:
                act()
            _wait(lambda: all(_told(watch, k) for k in links.values()), 45)
            known = _known(rooms) | {k: t for each in links.values() for k, t in each.knew.items()}
            doctors = _doctors(links.values())
        finally:
            for link in links.values():
                link.mend()
        _wait(lambda: all(_active(watch, k) for k in links.values()), 120)
        left = _doctors([k for k in links.values() if not _active(watch, k)], "left")
        yield Story(links, watch, known, doctors, left)
    finally:
        watch.stop()


def _wait(condition, limit):
    """Wait at most so long; each test says what hasn't come."""
    with contextlib.suppress(LabError):
        wait_for(condition, limit, "")


def _active(watch, link):
    states = [watch.now.get(i, {}) for i in link.ids]
    return all(s.get("status") == "ACTIVE" and s["status_code"] is None for s in states)


def _told(watch, link):
    codes = [watch.first.get(i, {}) for i in link.ids]
    if link.name == "twin":
        both = [watch.first.get(i, {}) for other in link.room.links for i in other.ids]
        return sum("indistinguishable" in c for c in both) == 2
    return all(w is None or w in c for w, c in zip(link.expected, codes, strict=True))


def _known(rooms):
    """Return when each agent first knew a fault: (router, code) → monotonic seconds."""
    known = {}
    for room in rooms.values():
        for end in _ends(room):
            for view in views(end).values():
                for fault in view["observed"]["charon"]["faults"]:
                    known[end.site.router_id, fault["code"]] = fault["first"]
    return known


def _doctors(links, name="doctor"):
    """Ask the doctor about these connections; build/<name>.txt has it as people read it."""
    ends = [(link.ids[n], end) for link in links for n, end in enumerate(_ends(link.room))]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = {i: pool.submit(doctor, end, i) for i, end in ends}
        told = {i: answer.result() for i, answer in asked.items()}
    tables = ["\n".join(findings.render(result)) for result in told.values()]
    (ROOT / "build" / f"{name}.txt").write_text("\n\n".join(tables) + "\n")
    return told


def _ends(room):
    return room.west, room.east


NAMES = [
    *(
        f"{v}/{name}"
        for v in ("v1", "v2")
        for name in ("deleted", "esp", "ts", "silent", "refuses")
    ),
    *("v2/psk", "v1-psk/psk", "v2-id/id", "v1-id/id", "v2-ike/ike", "v1-ike/ike", "v1-dpd/dpd"),
    *(
        "v2-dead/charon",
        "address/v2",
        "address/v1",
        "v2-twin/plain",
        "v2-twin/twin",
        "v1-twin/plain",
        "v1-twin/twin",
    ),
]


@pytest.mark.parametrize("side", [0, 1], ids=["begins", "responds"])
@pytest.mark.parametrize("name", NAMES)
def test_the_cause_is_told(story, name, side):
    """Its code with a sentence, at most 2 s after the gateway knew; gone once it is mended."""
    link = story.links[name]
    told = {code: text for code, (_, text) in story.watch.first.get(link.ids[side], {}).items()}
    expected = link.expected[side]
    if expected is not None:
        assert expected in told
        assert len(told[expected]) > 20
        end = _ends(link.room)[side]
        knew = story.known.get((end.site.router_id, expected))
        if knew is not None:
            assert story.watch.first[link.ids[side]][expected][0] - knew < WITHIN
    now = story.watch.now[link.ids[side]]
    seen = "\n".join(findings.render(story.left.get(link.ids[side], {"placed_here": False})))
    assert (now["status"], now["status_code"]) == ("ACTIVE", None), seen


# What the doctor adds to a cause: the check that fails, on the side that begins.
CHECKS = {"silent": ("peer reached", "silent"), "charon": ("charon", "not running")}
# What ended while it was up, and is tried again: by now another cause may have come after it.
TRIED_AGAIN = ("deleted", "dpd")
NO_ADDRESS = ("public_port_no_address", "no_public_address")


@pytest.mark.parametrize("side", [0, 1], ids=["begins", "responds"])
@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_names_the_cause(story, name, side):
    """By its code, with what is wanted, what is, the plan, the way to the peer; and no secret."""
    link = story.links[name]
    told = story.doctors[link.ids[side]]
    found = told["findings"]
    expected = link.expected[side]
    if expected not in (None, "admin_down", "waiting_for_peer"):
        assert told["verdict"] == "failed"
        codes = {expected}
        if link.name in TRIED_AGAIN:
            codes |= story.watch.first[link.ids[side]].keys()
        hints = [f["hint"] for f in found if f["seen"].partition(": ")[0] in codes]
        assert hints
        assert all(hints)
    checks = {f["check"]: f for f in found if f["subject"] in ("router", link.ids[side])}
    assert {"revision", "charon", "plan", "clock"} <= checks.keys()
    if expected not in NO_ADDRESS:  # else there is nothing to ask a peer from
        assert {"status", "route to the peer", "peer reached", "path MTU"} <= checks.keys()
    if side == 0 and link.name in CHECKS:
        check, seen = CHECKS[link.name]
        assert checks[check]["verdict"] != "ok"
        assert seen in checks[check]["seen"]
    assert not any(key in json.dumps(told) for key in (KEY, OTHER_KEY))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_connections_that_cannot_be_told_apart_say_so(story, version):
    """One of the two shows it, on each side."""
    links = [story.links[f"{version}-twin/plain"], story.links[f"{version}-twin/twin"]]
    for side in (0, 1):
        codes = [set(story.watch.first.get(link.ids[side], {})) for link in links]
        assert sum("indistinguishable" in each for each in codes) == 1
