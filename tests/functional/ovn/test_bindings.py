"""What an agent learns of its ports from a real southbound database."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, RouterId
from swanherd.core.takeover import Binding
from swanherd.ovn.bindings import Bindings, Where
from tests.functional.ovn.daemons import Northd, columns_read, until

ROUTER = RouterId("7f5b6d0a-0000-4000-8000-000000000001")


class Seen:
    """A chassis' view, and the ports of which it was told."""

    def __init__(self, ovn: Northd, chassis: str) -> None:
        self.told: list[str] = []
        where = Where(ovn.sb.remote, chassis)
        self.bindings = Bindings(lambda: where, self.told.append, 1.0)
        self.bindings.connect()

    def of(self, port: str) -> Binding | None:
        return self.bindings.binding(ROUTER, PortId(port))

    def columns_read(self, port: str) -> int:
        """Return how many columns of rows are read when one port is asked for."""
        return columns_read(lambda: self.of(port))


@pytest.fixture(scope="module")
def two(ovn: Northd) -> None:
    """A second chassis."""
    ovn.sb.run("ovn-sbctl", "chassis-add", "chassis-2", "geneve", "192.0.2.102")


@pytest.fixture
def both(ovn: Northd, two: None) -> Iterator[tuple[Seen, Seen]]:
    """What each of two chassis sees."""
    seen = Seen(ovn, "chassis-1"), Seen(ovn, "chassis-2")
    for each in seen:
        until(each.bindings.is_complete)
    yield seen
    for each in seen:
        each.bindings.close()


@pytest.fixture
def port(ovn: Northd) -> str:
    """A switch port of a name of its own."""
    name = str(uuid.uuid4())
    ovn.nb.run("ovn-nbctl", "--may-exist", "ls-add", "sw", "--", "lsp-add", "sw", name)
    return name


def request(ovn: Northd, port: str, chassis: str) -> None:
    ovn.nb.run("ovn-nbctl", "lsp-set-options", port, f"requested-chassis={chassis}")


def test_only_whom_it_is_meant_for_sees_a_port(
    ovn: Northd, both: tuple[Seen, Seen], port: str
) -> None:
    """The row moves from one view to the other with the request; each is told of it."""
    one, two = both
    request(ovn, port, "chassis-1")
    until(lambda: one.of(port) == Binding("chassis-1", None, up=False))
    assert two.of(port) is None
    ovn.sb.run("ovn-sbctl", "lsp-bind", port, "chassis-1")
    until(lambda: one.of(port) == Binding("chassis-1", "chassis-1", up=True))
    request(ovn, port, "chassis-2")
    until(lambda: two.of(port) == Binding("chassis-2", "chassis-1", up=True))
    # Who lets it go still sees that it is meant for another.
    until(lambda: one.of(port) == Binding("chassis-2", "chassis-1", up=True))
    ovn.sb.run("ovn-sbctl", "lsp-unbind", port)
    until(lambda: one.of(port) is None)
    assert port in one.told
    assert port in two.told


def test_a_chassis_that_is_registered_anew_is_followed(
    ovn: Northd, both: tuple[Seen, Seen], port: str
) -> None:
    """Its row has another identity then; what is meant for it is seen again."""
    _, two = both
    request(ovn, port, "chassis-2")
    until(lambda: two.of(port) is not None)
    ovn.sb.run("ovn-sbctl", "chassis-del", "chassis-2")
    until(lambda: two.of(port) is None)
    ovn.sb.run("ovn-sbctl", "chassis-add", "chassis-2", "geneve", "192.0.2.102")
    until(lambda: two.of(port) is not None)


def test_a_row_is_read_once_until_it_changes(ovn: Northd, both: tuple[Seen, Seen]) -> None:
    """Of hundreds of routers that move from node to node each asks while others change."""
    one, _ = both
    names = [str(uuid.uuid4()) for _ in range(20)]
    added = (
        f"-- lsp-add sw {n} -- lsp-set-options {n} requested-chassis=chassis-1" for n in names
    )
    ovn.nb.run("ovn-nbctl", "--may-exist", "ls-add", "sw", *" ".join(added).split())
    until(lambda: all(one.of(name) for name in names))
    ovn.sb.run("ovn-sbctl", "lsp-bind", names[0], "chassis-1")
    until(lambda: names[0] in one.told[-2:])
    columns = one.columns_read(names[0])
    assert 0 < columns < 40
    assert one.of(names[0]) == Binding("chassis-1", "chassis-1", up=True)
    assert one.of(names[1]) == Binding("chassis-1", None, up=False)


def test_a_database_that_is_away_is_remembered_and_its_silence_is_told(
    ovn: Northd, both: tuple[Seen, Seen], port: str
) -> None:
    """What it said last counts; when it was last there doesn't move on."""
    one, _ = both
    request(ovn, port, "chassis-1")
    until(lambda: one.of(port) is not None)
    ovn.sb.stop()
    try:
        until(lambda: not one.bindings.is_complete())
        heard_at = one.bindings.heard_at()
        assert one.of(port) is not None
        until(lambda: time.monotonic() - (heard_at or 0) > 2)
        assert heard_at == one.bindings.heard_at()
    finally:
        ovn.sb.start()
    until(one.bindings.is_complete, 20)
    assert (one.bindings.heard_at() or 0) > (heard_at or 0)


def test_who_was_never_told_knows_nothing(ovn: Northd) -> None:
    """Before the database has answered there is no role to take."""
    seen = Bindings(lambda: Where(ovn.sb.remote, "chassis-1"), lambda _: None, 1.0)
    with pytest.raises(Temporary):
        seen.binding(ROUTER, PortId("p"))
    assert seen.heard_at() is None
