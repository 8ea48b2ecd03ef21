import ipaddress
import socket
import threading

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from swanherd.agent.names import Found, Names, look_up
from swanherd.core.failures import Temporary
from swanherd.reconcile.resolver import ResolvingSource
from swanherd.testing import builders as make


class Zone:
    """What a DNS server says, and a clock."""

    def __init__(self):
        self.now, self.asked = 0.0, 0
        self.address, self.ttl, self.untold = "198.51.100.7", 30.0, frozenset()

    def find(self, name):
        self.asked += 1
        addresses = {ipaddress.ip_address(self.address)} if self.address else set()
        return Found(frozenset(addresses), self.ttl, self.untold)


@pytest.fixture
def zone():
    return Zone()


@pytest.fixture
def names(zone):
    return Names(zone.find, lambda: zone.now)


def test_a_name_is_asked_for_again_when_its_time_is_over_and_not_before(zone, names):
    """By its TTL; what moved is told once."""
    names.resolve("vpn.example")
    zone.address, zone.now = "198.51.100.8", 29.9
    assert names.refresh({"vpn.example"}) == frozenset()
    assert zone.asked == 1
    zone.now = 30.0
    assert names.refresh({"vpn.example"}) == {"vpn.example"}
    assert names.refresh({"vpn.example"}) == frozenset()
    assert [str(a) for a in names.resolve("vpn.example")] == ["198.51.100.8"]
    assert zone.asked == 2


def test_a_name_that_is_known_keeps_no_turn_waiting(zone, names):
    """Servers that are away answer after many seconds, and all routers share a few workers."""
    names.resolve("vpn.example")
    zone.address, zone.now = "198.51.100.8", 100.0
    assert [str(a) for a in names.resolve("vpn.example")] == ["198.51.100.7"]
    assert zone.asked == 1
    assert names.refresh({"vpn.example"}) == {"vpn.example"}
    assert [str(a) for a in names.resolve("vpn.example")] == ["198.51.100.8"]


def test_names_are_looked_up_several_at_once(zone):
    """Some that nobody answers don't keep the others from being followed."""
    together = threading.Barrier(4)

    def find(name):
        if zone.now:
            together.wait(5)
        return zone.find(name)

    names, used = Names(find, lambda: zone.now), {f"{n}.example" for n in range(4)}
    for name in used:
        names.resolve(name)
    zone.now = 100.0
    assert names.refresh(used) == frozenset()


def test_names_that_nobody_answers_are_asked_for_a_few_at_a_time(zone, names):
    """The longest lost first; else hundreds of them would keep the others from being followed."""
    used = {f"{number:02}.example" for number in range(20)}
    for name in used:
        names.resolve(name)
    zone.address, zone.now = None, 100.0
    names.refresh(used)
    assert zone.asked == 40
    zone.now, zone.address, zone.asked = 200.0, "198.51.100.8", 0
    moved = names.refresh(used)
    assert zone.asked == 8
    zone.now = 201.0
    moved |= names.refresh(used) | names.refresh(used)
    assert moved == used


def test_where_no_thread_can_be_had_names_are_followed_later(zone, names, monkeypatch):
    """A container may have so many; that is no reason to end the agent."""
    names.resolve("vpn.example")
    zone.address, zone.now = "198.51.100.8", 100.0

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as none:
        none.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Temporary):
            names.refresh({"vpn.example"})
    assert names.refresh({"vpn.example"}) == {"vpn.example"}


def test_a_name_that_is_lost_stays_where_it_was(zone, names):
    """The tunnel goes on while the servers are away."""
    names.resolve("vpn.example")
    zone.address, zone.now = None, 100.0
    assert names.refresh({"vpn.example"}) == frozenset()
    assert [str(a) for a in names.resolve("vpn.example")] == ["198.51.100.7"]


def test_addresses_of_a_version_that_no_server_told_of_stay(zone, names):
    """One question of two may be lost: the tunnels of that version go on."""
    zone.address = "2001:db8::7"
    names.resolve("vpn.example")
    zone.address, zone.untold, zone.now = "198.51.100.7", frozenset({6}), 100.0
    names.refresh({"vpn.example"})
    assert [str(a) for a in names.resolve("vpn.example")] == ["198.51.100.7", "2001:db8::7"]
    zone.untold, zone.now = frozenset(), 200.0
    names.refresh({"vpn.example"})
    assert [str(a) for a in names.resolve("vpn.example")] == ["198.51.100.7"]


def test_a_name_that_nobody_uses_is_forgotten(zone, names):
    """And not asked for."""
    names.resolve("vpn.example")
    zone.now = 100.0
    assert names.refresh(set()) == frozenset()
    assert zone.asked == 1


def test_who_uses_a_name_is_known(zone, names):
    """So that only those routers are looked at when it moves."""

    class Server:
        def get_router(self, _):
            return make.desired(make.connection(peer_address="vpn.example"))

    source = ResolvingSource(Server(), names.resolve)
    assert source.names() == frozenset()
    source.get_router(make.ROUTER)
    assert source.names() == {"vpn.example"}
    assert source.users({"vpn.example"}) == {make.ROUTER}
    assert source.users({"other.example"}) == frozenset()


def test_the_ttl_is_the_records_own():
    """Asked of a server, for both families: the shorter one counts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        records = {1: ("A", 40, "198.51.100.7"), 28: ("AAAA", 20, "2001:db8::7")}

        def serve():
            for _ in range(2):
                wire, client = sock.recvfrom(4096)
                query = dns.message.from_wire(wire)
                (question,) = query.question
                kind, ttl, address = records[int(question.rdtype)]
                reply = dns.message.make_response(query)
                reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, address))
                sock.sendto(reply.to_wire(), client)

        threading.Thread(target=serve, daemon=True).start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], sock.getsockname()[1]
        found = look_up("vpn.example.", resolver)
    assert {str(a) for a in found.addresses} == {"198.51.100.7", "2001:db8::7"}
    assert found.ttl == 20
    assert found.untold == frozenset()


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
def test_a_server_that_fails_has_told_nothing(code):
    """One that says that there is none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)  # no thread is left behind

        def serve():
            while True:
                try:
                    wire, client = sock.recvfrom(4096)
                except OSError:
                    return
                query = dns.message.from_wire(wire)
                (question,) = query.question
                reply = dns.message.make_response(query)
                if int(question.rdtype) == 1:
                    address = dns.rrset.from_text(question.name, 40, "IN", "A", "198.51.100.7")
                    reply.answer.append(address)
                else:
                    reply.set_rcode(code)
                sock.sendto(reply.to_wire(), client)

        threading.Thread(target=serve, daemon=True).start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], sock.getsockname()[1]
        found = look_up("vpn.example.", resolver)
    assert found.untold == ({6} if code == dns.rcode.SERVFAIL else set())
