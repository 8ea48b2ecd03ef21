"""Pairs of routers in two clouds, and connections that are broken in twelve ways, or will be."""

import dataclasses
import time

from lab.addresses import give_address, narrow_pools, set_pools, take_address
from lab.boxes import Box
from lab.layout import INTERNET_BOX
from lab.sites import add_subnet, boot, make_site
from lab.vpn import STRONG, kill_charons, make_end
from tests.scenario.closed import Side
from tests.scenario.conftest import kind_of

KEY = "the lab's own key"
OTHER_KEY = "0ther than the lab's"
SILENT = "203.0.113.9"  # nobody has it


@dataclasses.dataclass
class Room:
    """A pair of routers; `links` join the west's one subnet with one of the east's each.

    `workloads`: one in each subnet, the west's first.
    """

    west: object
    east: object
    workloads: list
    links: list = dataclasses.field(default_factory=list)

    @property
    def ends(self):
        return self.west, self.east

    def sides(self):
        """Return what each workload's connections protect from it."""
        west, *east = self.workloads
        return [
            Side(self.west, west, tuple(w.ipv4 for w in east)),
            *(
                Side(self.east, workload, (link.elsewhere or west.ipv4,))
                for workload, link in zip(east, self.links, strict=True)
            ),
        ]


@dataclasses.dataclass
class Link:
    """One connection of each side; `mend` ends its fault.

    `knew`: when the server itself knew of the fault, by router and code. `elsewhere`: an address
    in the network that the east protects in the west's place.
    """

    name: str
    room: Room
    expected: tuple  # the code of who begins, and of who responds (None: it can't know)
    ids: tuple = ()
    elsewhere: str = ""
    mend: object = None
    knew: dict = dataclasses.field(default_factory=dict)


def make_room(clouds, number, links, **policies):
    """Make a pair of routers, the east's with a subnet for each link, and workloads."""
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
    east = make_end(east_cloud, client, site, **policies)
    workloads = [
        boot(end.cloud, end.client, end.site, f"t{number}-{n}", subnets=[cidr])
        for end in (west, east)
        for n, cidr in enumerate(end.site.subnets)
    ]
    return Room(west, east, workloads)


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
    link.elsewhere = "10.255.0.5"
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
        for end in room.ends
    )
    link, same = join(room, "v2", codes), join_by_v1(room, codes)
    pools, had = [], []

    def act():
        for end, code in zip(room.ends, codes, strict=True):
            pools.append(narrow_pools(end.cloud, end.site.router_addresses))
            had.append(take_address(end))
            link.knew[end.site.router_id, code] = time.monotonic()
        same.knew = link.knew

    def mend():
        try:
            for end, addresses in zip(room.ends, had, strict=False):
                give_address(end, addresses)
        finally:
            for end, before in zip(room.ends, pools, strict=False):
                set_pools(end.cloud, before)

    return later(link, act, mend), later(same, lambda: None, lambda: None)


def join_by_v1(room, codes):
    """Join the room's next subnet by IKEv1, whatever the others have."""
    sides = [
        end.client.network.create_vpn_ike_policy(name="v1", ike_version="v1", **STRONG).id
        for end in room.ends
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
