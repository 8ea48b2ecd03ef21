from hypothesis import given
from hypothesis import strategies as st

from swanherd_dashboard.core import picture, rows

SERVICES = {
    f"s{n}": rows.Service(f"s{n}", "", f"r{n}", "", "ACTIVE", "198.51.100.7", "") for n in range(3)
}
KNOWN = picture.Known(
    services=SERVICES,
    routers={"r0": "one", "r1": "two"},
    subnets={f"n{n}": (f"net{n}", f"10.{n}.0.0/24") for n in range(4)},
    groups={**{f"g{n}": [f"n{n}", f"n{(n + 1) % 4}"] for n in range(4)}, "p": ["10.99.0.0/16"]},
)
CONNECTIONS = st.lists(
    st.builds(
        rows.Connection,
        id=st.uuids().map(str),
        name=st.text(max_size=40),
        status=st.sampled_from(["ACTIVE", "DOWN", "ODD"]),
        peer_address=st.just("203.0.113.7"),
        service_id=st.sampled_from([*SERVICES, "gone"]),
        local_group_id=st.sampled_from(["g0", "g1", "g2", "g3"]),
        peer_group_id=st.just("p"),
    ),
    max_size=12,
)


def overlap(one, other):
    return (
        one.x < other.right
        and other.x < one.right
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@given(CONNECTIONS)
def test_boxes_never_lie_on_each_other_and_all_is_inside(connections):
    """Whatever a project has, its picture can be read."""
    drawn = picture.draw(connections, KNOWN)
    for index, box in enumerate(drawn.boxes):
        assert box.x >= 0
        assert box.right <= drawn.width
        assert box.y >= 0
        assert box.y + box.height <= drawn.height
        assert not [other for other in drawn.boxes[:index] if overlap(box, other)]


@given(CONNECTIONS)
def test_each_connection_is_one_line(connections):
    """From its router to its peer; one whose service is gone is left out and counted."""
    drawn = picture.draw(connections, KNOWN)
    shown = [line.connection.id for line in drawn.lines if line.connection]
    assert sorted(shown) == sorted(c.id for c in connections if c.service_id != "gone")
    assert len(shown) + drawn.left_out == len(connections)


def test_more_than_a_hundred_are_left_to_the_list():
    """And it is said how many."""
    many = [
        rows.Connection(id=str(n), name="", status="ACTIVE", service_id="s0", local_group_id="g0")
        for n in range(130)
    ]
    assert picture.draw(many, KNOWN).left_out == 30
