"""What a run beside neutron-vpnaas looks like on paper."""

import time
import xml.etree.ElementTree
from collections.abc import Sequence
from typing import Any

import pytest

from bench.beside import page
from bench.beside.__main__ import options, results
from bench.beside.bringing import Awaited, unanswered
from bench.beside.changes import Outcome
from bench.beside.peer import Far
from bench.beside.side import Case

BRINGING = {
    "count": 1,
    "routers": 1,
    "up": 2.0,
    "active": 3.0,
    "own": 1,
    "cpu": 0.1,
    "late": [1.0],
}


def _side(
    title: str, outcomes: dict[str, Outcome], *, neutron: str = "29.0.0", **more: object
) -> dict[str, object]:
    rows = [
        {"name": n, "words": o.words(30), "seconds": o.seconds, "cpu": o.cpu, "refused": o.refused}
        for n, o in outcomes.items()
    ]
    return {
        "title": title,
        "neutron": neutron,
        "load_before": [1.0, 1.0, 1.0],
        "load_after": [2.0, 2.0, 2.0],
        "changes": rows,
        "bringing": [BRINGING | more],
        "idle_percent": 1.0,
        "told_down": 0.5,
        "restart": {"rebuilt": 0, "of": 3, "lost": 0, "sent": 100},
    }


OURS = {"`psk`": Outcome(0.5, 0.02), "IKE <policy>": Outcome(1.0, 0.1)}
THEIRS = {"`psk`": Outcome(None, 2.0, written=True), "IKE <policy>": Outcome(None, refused=409)}
DOCUMENT = {
    "limit": 30,
    "versions": {"machine": "m", "python": "p", "neutron": "n"},
    "sides": [
        _side("Swanherd", OURS),
        _side("neutron-vpnaas 29", THEIRS, up=8.0, active=None),
        _side("neutron-vpnaas 27", {"`psk`": Outcome(7.0, 3.0)}, neutron="27.0.4", count=2),
    ],
}


def test_what_had_no_effect_and_what_was_refused_is_said() -> None:
    """No number stands where nothing was reached; a ratio only where both have a number."""
    text = page.tables(DOCUMENT)
    missed = "not within 30 s, in its configuration only"
    assert f"| `psk` | 0.50 s | {missed} | 7.00 s | 0.02 s / 2.00 s / 3.00 s | – / 0.07 |" in text
    assert "| IKE <policy> | 1.00 s | refused (409) | not tried |" in text
    up, active = "first POST until all are up", "… until all ACTIVE"
    assert f"| 1 connection: {up} | 2.00 s | 8.00 s | not tried | 0.25 / – |" in text
    assert f"| 1 connection: {active} | 3.00 s | not within the limit | not tried | – |" in text
    assert "| 1 connection: begun by the gateway | 1 | 1 | – |  |" in text


def test_as_many_on_many_routers_are_another_figure() -> None:
    """They aren't told as those on one."""
    spread = {"routers": 10, "count": 10}
    sides = [_side("Swanherd", OURS, count=10), _side("neutron-vpnaas 29", THEIRS, **spread)]
    up = "first POST until all are up"
    assert f"| 10 connections: {up} | 2.00 s | not tried |" in page.tables({"sides": sides})
    sides = [_side("Swanherd", OURS, **spread), _side("neutron-vpnaas 29", THEIRS, **spread)]
    assert f"| 10 connections on 10 routers: {up} | 2.00 s | 2.00 s |" in page.tables(
        {"sides": sides}
    )
    assert "beside_29_up_10_on_10_s" in {r.name for r in results({"sides": sides})}


def test_the_plot_is_well_formed_and_has_every_change() -> None:
    """Names are escaped; each change that all were put through has a bar for each."""
    root = xml.etree.ElementTree.fromstring(page.plot(DOCUMENT))
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"psk", "neutron-vpnaas 27", "7.00 s", "not within 30 s"} <= set(texts)
    two = page.plot(DOCUMENT | {"sides": DOCUMENT["sides"][:2]})
    texts = [e.text for e in xml.etree.ElementTree.fromstring(two).iter()]
    assert {"psk", "IKE <policy>", "refused (409)", "not within 30 s"} <= set(texts)


def test_figures_for_machines_have_the_others_beside_them() -> None:
    """A figure without the other's has no ratio."""
    found = {r.name: (r.value, r.peer) for r in results(DOCUMENT)}
    assert found["beside_29_psk_s"] == (0.5, None)
    assert found["beside_27_psk_s"] == (0.5, 7.0)
    assert found["beside_29_up_1_s"] == (2.0, 8.0)
    assert found["beside_27_idle_percent"] == (1.0, 1.0)


def test_the_reader_sees_which_neutron_each_ran_on() -> None:
    """The tables' heads, the plot and its title for who can't see it say it of each."""
    head = page.tables(DOCUMENT).partition("\n")[0]
    assert "| Swanherd, on Neutron 29.0.0 | neutron-vpnaas 29, on Neutron 29.0.0 |" in head
    assert "| neutron-vpnaas 27, on Neutron 27.0.4 |" in head
    drawn = page.plot(DOCUMENT)
    assert "neutron-vpnaas 27, on Neutron 27.0.4</title>" in drawn
    assert ">on Neutron 27.0.4</text>" in drawn


def test_what_came_up_only_by_a_restart_is_said() -> None:
    """How long was waited in vain, and how long it took after the agent had been restarted."""
    late = {"up": None, "active": None, "waited": 121.4, "restarted": 17.0}
    sides = [_side("Swanherd", OURS), _side("neutron-vpnaas 27", THEIRS, **late)]
    text = page.tables({"sides": sides})
    assert "| 1 connection: … until all ACTIVE | 3.00 s | not within 121 s | – |" in text
    again = "1 connection: a restart of the agent after that until all ACTIVE"
    assert f"| {again} | – | 17.00 s |  |" in text
    sides = [_side("Swanherd", OURS), _side("neutron-vpnaas 29", THEIRS)]
    assert again not in page.tables({"sides": sides})
    switched = {"off": Outcome(None, restarted=12.3)}
    assert switched["off"].words(30) == "not within 30 s but 12.30 s after a restart of the agent"
    sides = [_side("Swanherd", switched), _side("neutron-vpnaas 27", switched)]
    # There is no room for more beside a bar.
    assert ">not within 30 s</text>" in page.plot({"limit": 30, "sides": sides})


def test_a_run_that_lacks_something_is_told_from_a_whole_one() -> None:
    """What an older script left, or a broken run, is named by its parts."""
    assert page.missing(DOCUMENT) == []
    old = {k: v for k, v in _side("Swanherd", OURS).items() if k != "neutron"}
    assert page.missing({"limit": 30, "sides": [old]}) == ["versions", "neutron of Swanherd"]
    assert page.missing({}) == ["versions", "limit", "sides"]


class _Known:
    """A side whose charon has only some of its connections, and the peer of it."""

    def __init__(self, *known: str):
        self.peer, self.known = self, set(known)

    def initiate(self, _: Sequence[Far]) -> None:
        """Begin nothing: it takes the other side for that."""

    def up(self) -> dict[str, list[dict[str, str]]]:
        return {key: [{"initiator": "yes"}] for key in self.known}

    def loaded(self) -> set[str]:
        return self.known

    def statuses(self) -> dict[str, str]:
        return dict.fromkeys(self.known, "ACTIVE")


def test_what_charon_never_gets_is_not_waited_for_to_the_end() -> None:
    """When nothing comes any more the run goes on, and sees it if a restart brings it."""
    cases = [Case(n, Far(n, "100.64.0.9", "id", "key", ("10.9.0.0/24",))) for n in "ab"]
    side: Any = _Known("a")
    awaited = Awaited(side, cases, time.monotonic(), still=0.2)
    began = time.monotonic()
    assert not awaited.wait(60)
    assert time.monotonic() < began + 30
    assert (set(awaited.up_at), awaited.own) == ({"a"}, 1)
    side.known.add("b")
    assert awaited.wait(60)
    assert set(awaited.active_at) == {"a", "b"}


def test_it_is_told_when_the_lost_pings_were_sent():
    """By the number of each and the time of the quickest answer; of none nothing is known."""
    came = [(100.11, 1), (100.25, 2), (100.51, 5)]
    assert unanswered(came, 6, 100.0) == (0.3, 0.4, 0.6)
    assert unanswered(came[:2], 2, 100.0) == ()
    assert unanswered([], 6, 100.0) == ()


@pytest.mark.parametrize("releases", [[], ["--releases", "29"]], ids=["by default", "by name"])
def test_another_backend_has_no_release_beside_it(
    releases: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused with what to write instead, before anything is brought up."""
    assert options(["--backend", "ovs", "--releases"]).backend == "ovs"
    with pytest.raises(SystemExit):
        options(["--backend", "ovs", *releases])
    assert "--backend ovs is for Swanherd alone: --releases without any" in capsys.readouterr().err
