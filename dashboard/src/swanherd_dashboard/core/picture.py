"""Where everything stands in the picture of a project's VPN: pure, in the drawing's units."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

from swanherd_dashboard.core import words
from swanherd_dashboard.core.rows import Connection, Service

WIDTH = 1000
STEP = 56  # from one box to the next below it
BOX_HEIGHT = 44
GAP = 28  # between routers
SUBNET_X, SUBNET_WIDTH = 10, 220
ROUTER_X, ROUTER_WIDTH = 310, 250
PEER_X, PEER_WIDTH = 740, 250
MOST = 100  # connections that are drawn
_LETTER = 8  # what a letter takes at most, on average


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A router, a subnet or a peer; `lines` are its two lines of text."""

    kind: str
    id: str
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, str]

    @property
    def middle(self) -> int:
        """The height of its middle."""
        return self.y + self.height // 2

    @property
    def right(self) -> int:
        """Its right edge."""
        return self.x + self.width

    @property
    def text_x(self) -> int:
        """Where its text begins."""
        return self.x + 10

    @property
    def first_y(self) -> int:
        """The first line's base."""
        return self.middle - 4

    @property
    def second_y(self) -> int:
        """The second line's base."""
        return self.middle + 13


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A connection from its router to its peer, or (without one) a subnet's link to its router."""

    x1: int
    y1: int
    x2: int
    y2: int
    connection: Connection | None = None

    @property
    def tone(self) -> str:
        """The status's colour."""
        return words.tone(self.connection.status) if self.connection else ""

    @property
    def path(self) -> str:
        """The way of the line: a curve that leaves and arrives level."""
        half = (self.x1 + self.x2) // 2
        return f"M{self.x1},{self.y1} C{half},{self.y1} {half},{self.y2} {self.x2},{self.y2}"

    @property
    def word_x(self) -> int:
        """Where its name stands."""
        return self.x2 - 170

    @property
    def word_y(self) -> int:
        """The base of its name."""
        return self.y2 - 6


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """The drawing."""

    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    left_out: int
    width: int = WIDTH


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the connections refer to: router names, subnets' name and CIDR, groups' endpoints."""

    services: Mapping[str, Service]
    routers: Mapping[str, str]
    subnets: Mapping[str, tuple[str, str]]
    groups: Mapping[str, Sequence[str]]

    def local(self, found: Connection) -> Sequence[str]:
        """Return the ids of a connection's subnets."""
        if found.local_group_id:
            return self.groups.get(found.local_group_id, ())
        return [self.services[found.service_id].subnet_id]

    def remote(self, found: Connection) -> Sequence[str]:
        """Return the peer's networks."""
        return self.groups.get(found.peer_group_id, ()) or found.peer_cidrs


def draw(connections: Sequence[Connection], known: Known) -> Picture:
    """Return the picture: routers below one another, their subnets left, peers right."""
    drawn = [each for each in connections if each.service_id in known.services][:MOST]
    by_router: dict[str, list[Connection]] = defaultdict(list)
    for each in drawn:
        by_router[known.services[each.service_id].router_id].append(each)
    boxes: list[Box] = []
    lines: list[Line] = []
    y = GAP
    for router_id in sorted(by_router, key=lambda each: (known.routers.get(each, ""), each)):
        y = _router(router_id, by_router[router_id], known, (boxes, lines, y))
    return Picture(y, tuple(boxes), tuple(lines), len(connections) - len(drawn))


def _router(
    router_id: str,
    connections: Sequence[Connection],
    known: Known,
    so_far: tuple[list[Box], list[Line], int],
) -> int:
    """Add a router with what belongs to it; return where the next begins."""
    boxes, lines, top = so_far
    subnets = list(dict.fromkeys(each for found in connections for each in known.local(found)))
    rows = max(len(subnets), len(connections))
    bottom = top + rows * STEP
    router = _router_box(router_id, known, (top, bottom), connections)
    boxes.append(router)
    for index, subnet_id in enumerate(subnets):
        name, cidr = known.subnets.get(subnet_id, ("", subnet_id))
        y = _spread(top, bottom, index, len(subnets))
        box = _box("subnet", subnet_id, (SUBNET_X, y, SUBNET_WIDTH), (cidr, name))
        boxes.append(box)
        lines.append(Line(box.right, box.middle, router.x, _within(router, box.middle)))
    for index, found in enumerate(connections):
        y = _spread(top, bottom, index, len(connections))
        nets = ", ".join(known.remote(found))
        box = _box("peer", found.id, (PEER_X, y, PEER_WIDTH), (found.peer, nets))
        boxes.append(box)
        lines.append(
            Line(router.right, _within(router, box.middle), box.x, box.middle, connection=found)
        )
    return bottom + GAP


def _router_box(
    router_id: str, known: Known, extent: tuple[int, int], connections: Sequence[Connection]
) -> Box:
    top, bottom = extent
    service = known.services[connections[0].service_id]
    addresses = ", ".join(each for each in (service.v4, service.v6) if each)
    height = min(bottom - top - (STEP - BOX_HEIGHT), 3 * STEP)
    y = (top + bottom - height) // 2
    name = known.routers.get(router_id) or router_id
    place = (ROUTER_X, y, ROUTER_WIDTH)
    return dataclasses.replace(_box("router", router_id, place, (name, addresses)), height=height)


def _box(kind: str, box_id: str, place: tuple[int, int, int], lines: tuple[str, str]) -> Box:
    x, y, width = place
    return Box(
        kind, box_id, x, y, width, BOX_HEIGHT, (_short(lines[0], width), _short(lines[1], width))
    )


def _spread(top: int, bottom: int, index: int, count: int) -> int:
    """Return the top of one of several boxes that share a height evenly."""
    share = (bottom - top) / count
    return round(top + share * index + (share - BOX_HEIGHT) / 2)


def _within(box: Box, y: int) -> int:
    """Return the height on a box's edge that is nearest."""
    return min(max(y, box.y + 6), box.y + box.height - 6)


def _short(text: str, width: int) -> str:
    longest = (width - 10) // _LETTER
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
