"""A peer that is given by its name: looked up as its TTL says, and followed where it moves."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from bench.losses.measure import Sender
from bench.losses.rows import ALLOWED, sas
from bench.losses.sites import EAST, WEST
from bench.losses.stage import LIMIT, Stage
from swanherd.agent.names import LEAST, look_up
from swanherd.core.model import Status
from swanherd.core.status import PEER_NAME_UNRESOLVED

NAME = "east.example"
# A name's time and a swap's fit into it on a busy machine too.
GRACE = 20.0
# What each family's tunnel has at first, and where it moves to.
MOVES = {4: (0, 1), 6: (2, 3)}


class Zone:
    """A DNS server that knows one name."""

    def __init__(self) -> None:
        self.address: str | None = None
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers = ["127.0.0.1"]
        self.resolver.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            wire, client = self._socket.recvfrom(4096)
            query = dns.message.from_wire(wire)
            self._socket.sendto(self._answer(query).to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        self.asked += 1
        reply = dns.message.make_response(query)
        (question,) = query.question
        if self.address is None or question.name.to_text() != f"{NAME}.":
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return reply
        kind = "AAAA" if ":" in self.address else "A"
        if dns.rdatatype.to_text(question.rdtype) == kind:
            ttl = int(LEAST)
            reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, self.address))
        return reply


@pytest.fixture
def zone(stage: Stage) -> Iterator[Zone]:
    before, zone = stage.look_up, Zone()
    stage.look_up = partial(look_up, resolver=zone.resolver)
    yield zone
    stage.look_up = before


def by_name(stage: Stage, zone: Zone, family: int) -> tuple[str, str]:
    """Join west and east so that west has east's name; return east's address and the next one."""
    now, then = (EAST.public[number] for number in MOVES[family])
    here = WEST.public[MOVES[family][0]]
    zone.address = now
    for site, local, peer, ids in (
        (WEST, here, NAME, ("west.example", "east.example")),
        (EAST, now, here, ("east.example", "west.example")),
    ):
        stage.change(
            site,
            local_address=ipaddress.ip_address(local),
            peer_address=peer,
            local_id=ids[0],
            peer_id=ids[1],
        )
    stage.settle()
    return now, then


def peers(stage: Stage) -> set[str]:
    """Return where west's IKE SAs go to, but for the one to south."""
    found = stage.swan.observe(stage.key(WEST)).ike_sas
    south = stage.connections[WEST]["beside"].peer_address
    return {sa.remote_host for sa in found} - {south}


def seen_until_at(stage: Stage, address: str) -> set[Status]:
    """Wait until west's only tunnel to it goes to the address; return what showed."""
    shown: set[Status] = set()
    until = time.monotonic() + LIMIT
    while peers(stage) != {address} or Status.ACTIVE not in shown:
        assert time.monotonic() < until, (peers(stage), stage.row(WEST))
        stage.cloud.until(lambda: False, 0.1)
        row = stage.row(WEST)
        shown |= {row.status} if row is not None else set()
    return shown


@pytest.mark.parametrize("family", MOVES)
def test_the_tunnel_goes_where_the_name_goes(stage: Stage, zone: Zone, family: int) -> None:
    """Within the record's TTL, before the old one ends; and stays there when the name is lost."""
    now, then = by_name(stage, zone, family)
    assert {now} == peers(stage)
    with Sender() as sender:
        sender.ask("begin")
        sender.ask("more 20")
        zone.address = then
        stage.change(EAST, local_address=ipaddress.ip_address(then))
        assert seen_until_at(stage, then) <= {Status.ACTIVE, Status.PENDING_UPDATE}
        stage.settle()
        before, asked, zone.address = sas(stage), zone.asked, None
        until = time.monotonic() + LIMIT
        while zone.asked == asked:
            assert time.monotonic() < until
            stage.cloud.until(lambda: False, 0.1)
        sender.ask("more 50")
        counted = sender.ask("end")
    assert before == sas(stage)
    lost = {name: len(at) for name, at in counted["lost"].items()}
    assert max(lost.pop("own"), lost.pop("own 2")) <= ALLOWED[stage.settings.version]
    assert set(lost.values()) == {0}
    assert counted["clear"] == []


def test_a_name_that_nobody_knows_is_told(stage: Stage, zone: Zone) -> None:
    """With its cause, as the old tunnel carries on for the grace time."""
    by_name(stage, zone, 4)
    before = sas(stage)
    stage.change(WEST, peer_address="nobody.example")
    row = stage.wait(WEST, lambda row: row.reason is not None)
    assert (row.status, row.reason) == (Status.PENDING_UPDATE, PEER_NAME_UNRESOLVED)
    assert before == sas(stage)
