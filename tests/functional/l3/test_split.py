"""Two nodes of a redundant router both have its address: the one that got it first is silent."""

from __future__ import annotations

import time

import pytest

from swanherd.agent.homes import HomeReporter
from swanherd.core.model import Role, Status
from swanherd.core.tenure import Tenure, tell
from tests.functional.l3.redundancy import address, take_over
from tests.functional.l3.stand import EAST, WEST, Capture

UDP = 17


class Server:
    """Answers every report with who else serves the router, and for how long."""

    def __init__(self):
        self.later = {}
        self.reports = []

    def report(self, reports):
        self.reports += reports
        return self.later


@pytest.fixture
def split(both, keepalived):
    """West serves since half a minute ago, and the server speaks with its agent."""
    west, east = both
    take_over(west, east)
    west.ahead = 30.0
    server, looks = Server(), []
    reporter = HomeReporter(server, west.homes, looks.append)

    def told(seconds=None):
        server.later = {} if seconds is None else {WEST.router_id: seconds}
        reporter.report([west.turn().report])
        return west.turn().report.role

    return west, told, server, looks


def test_who_is_told_that_another_serves_its_address_is_silent(split):
    """It says all the time that it has it; another word, and it serves again."""
    west, told, server, looks = split
    assert told() is Role.ACTIVE
    assert not looks
    assert told(10.0) is Role.STANDBY
    assert looks == [west.key]
    west.settle()
    assert not west.swan.observe(west.key).ike_sas
    with Capture() as seen:
        assert west.gets_no_answer(EAST.inner(5)[0])
        assert told(12.0) is Role.STANDBY
    assert WEST.public[0] not in seen.sources(UDP)
    assert server.reports[-1].role is Role.STANDBY
    assert server.reports[-1].held > 30
    assert looks == [west.key]
    assert told() is Role.ACTIVE
    assert looks == [west.key, west.key]
    west.until(Status.ACTIVE)
    assert west.ping(EAST.inner(5)[0])


def test_a_word_about_another_counts_for_a_while_only(split):
    """The server, or the way to it, may be gone for good, and the other as well."""
    west, told, _, _ = split
    assert told(10.0) is Role.STANDBY
    west.ahead += 59
    assert west.turn().report.role is Role.STANDBY
    west.ahead += 1.1
    assert west.turn().report.role is Role.ACTIVE


def test_who_hears_that_the_other_gave_it_up_serves_at_once(split):
    """Without the server, which hears of it later."""
    west, told, _, _ = split
    assert told(10.0) is Role.STANDBY
    now = time.monotonic() + west.ahead
    assert west.homes.hear(west.key, [tell(west.key, Tenure(now - 10, now), now)])
    assert west.turn().report.role is Role.ACTIVE
    assert told(10.5) is Role.ACTIVE


def test_a_word_about_who_had_it_before_changes_nothing(split):
    """It is late: the address came here since."""
    west, told, _, _ = split
    assert told(50.0) is Role.ACTIVE
    address(west, "del")
    west.turn()
    address(west, "add")
    assert told(10.0) is Role.ACTIVE
