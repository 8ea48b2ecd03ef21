import pytest

from lab import faults, recovery
from lab.recovery import Row, marks
from lab.sites import KINDS

BEGIN, END = marks(recovery.OVN)

FIRST, SECOND = (Row(fault.name, 1.5, 3, 0, 2.0) for fault in faults.FAULTS[:2])
OTHERS = Row(SECOND.fault, 9.5, 3, 0, 2.0, 4.5, 0.3)
NEVER = Row(FIRST.fault, None, 9, 1, 0.5)


def test_a_table_is_read_as_it_was_written():
    """Also the row of what wasn't repaired, and what was others' of the time."""
    for rows in ([NEVER, SECOND], [FIRST, OTHERS]):
        assert recovery.parse(recovery.table(rows)) == rows


def test_only_the_rows_of_what_was_tried_change_in_the_document():
    """The others stay, in the faults' order; so does the text around."""
    before = f"head\n{BEGIN}{recovery.table([FIRST])}{END}\ntail"
    both = recovery.into(before, [SECOND])
    assert both == f"head\n{BEGIN}{recovery.table([FIRST, SECOND])}{END}\ntail"
    assert recovery.table([NEVER, SECOND]) in recovery.into(both, [NEVER])


def test_a_document_without_a_place_is_refused():
    """Nothing is written anywhere else."""
    with pytest.raises(ValueError, match="no place"):
        recovery.into("text", [FIRST])


@pytest.mark.parametrize("stage", ["ovn", "ovs", "ovs-dvr", "ha-ha", "ha-dvr-ha"])
def test_the_document_has_such_a_table(stage):
    """What it says of today's faults can be read."""
    text = recovery.DOCUMENT.read_text()
    assert recovery.into(text, [], stage) == text


def test_the_promise_counts_from_when_what_others_have_answers_again():
    """A bus that takes a minute to start is no fault of ours; a packet in clear is."""
    slow = Row(FIRST.fault, 90.0, 0, 0, 1.0)
    assert not slow.ok
    assert Row(FIRST.fault, 90.0, 0, 0, 1.0, 60.0).ok
    assert not Row(FIRST.fault, 1.0, 0, 1, 1.0).ok
    assert not NEVER.ok


def test_only_routers_of_some_kinds_can_have_some_faults():
    """Only a distributed one has a part on a compute node; only a redundant one a keepalived."""

    def names(backend, kind=""):
        return {fault.name for fault in faults.of(backend, kind)}

    more = {kind: names(faults.OVS, kind) - names(faults.OVS) for kind in KINDS}
    assert more["legacy"] == set()
    assert more["ha"] == {"kill -9 keepalived"}
    assert "rules flushed on the compute node" in more["dvr"]
    assert more["dvr-ha"] == more["dvr"] | more["ha"]
    assert names(faults.OVN, "dvr") == names(faults.OVN)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("kill -9 neutron-rpc-server", "Neutron's RPC server"),
        ("kill -9 of an API worker", "Neutron's API"),
        ("RabbitMQ away", "the bus"),
    ],
)
def test_what_takes_others_away_waits_for_them(name, part):
    """The seconds until what Neutron has answers again aren't Swanherd's."""
    (fault,) = (each for each in faults.FAULTS if each.name == name)
    assert part in [what for what, _ in fault.back]
