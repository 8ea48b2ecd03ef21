"""IKE SAs are renewed, by one side after the other, and neither traffic nor status notices."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator

import pytest

from bench.losses.measure import Sender
from bench.losses.rows import ALLOWED
from bench.losses.sites import EAST, WEST, Site
from bench.losses.stage import Stage
from bench.losses.wires import WIRE, run
from swanherd.core.ike import ChildSa, RekeyChild, SaState
from swanherd.core.model import Dpd, DpdAction, IkeVersion, RouterReport, Status
from tests.functional.live.test_dpd import dead, silent

LIFETIME = 24  # seconds; west renews after 17 at the earliest, east after 21


def shorten(stage: Stage, **changes: object) -> None:
    for site in (WEST, EAST):
        ike = dataclasses.replace(stage.connections[site]["own"].ike, lifetime=LIFETIME)
        stage.change(site, ike=ike, **changes)
    stage.settle()


def ike_ids(stage: Stage, site: Site) -> set[int]:
    return {sa.unique_id for sa in stage.observed(site) if sa.state is SaState.ESTABLISHED}


@pytest.mark.long  # `make test` has three minutes of renewals, of both versions: test_soak.py
def test_a_renewal_is_noticed_by_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the renewal by one side until all of the old is gone: ACTIVE, and no packet lost."""
    false: list[object] = []
    report = stage.cloud.report

    def listen(reports: list[RouterReport]) -> None:
        rows = [row for each in reports for row in each.connections]
        false.extend(row for row in rows if row.status is not Status.ACTIVE)
        report(reports)

    shorten(stage)
    monkeypatch.setattr(stage.cloud, "report", listen)
    before = {site: ike_ids(stage, site) for site in (WEST, EAST)}
    until = time.monotonic() + LIFETIME * 1.25
    with Sender() as sender:
        sender.ask("begin")
        while time.monotonic() < until:
            stage.cloud.until(lambda: False, 1.0)
            stage.look_at_all()
        lost = sender.ask("end")["lost"]
    assert false == []
    allowed = 5 if stage.settings.version is IkeVersion.V1 else 1
    assert all(len(numbers) <= allowed for numbers in lost.values()), lost
    for site in (WEST, EAST):
        assert not before[site] & ike_ids(stage, site)
        assert len(ike_ids(stage, site)) == 1, "the old one is left"


def test_a_peer_that_dies_while_an_ike_sa_is_renewed_is_found(stage: Stage) -> None:
    """Within dpd's timeout: charon asks nothing of a peer that owes it the renewal's answer."""
    shorten(stage, dpd=Dpd(DpdAction.RESTART, LIFETIME + 10, LIFETIME + 15))
    if stage.settings.version is IkeVersion.V2:
        pytest.skip("IKEv2 renews within the IKE SA, where each question counts")
    patience = 4
    stage.change(WEST, dpd=Dpd(DpdAction.RESTART, LIFETIME, patience))
    stage.settle()
    with silent(stage):

        def renews() -> bool:
            # Asked of charon: nothing tells the agent of a renewal's first message.
            return any(sa["state"] == b"REKEYING" for sa in stage.raw_sas(WEST))

        until = time.monotonic() + LIFETIME
        while not renews() and time.monotonic() < until:
            stage.cloud.until(lambda: False, 0.1)
        since = time.monotonic()
        stage.look_at_all()
        row = stage.row(WEST)
        assert row is not None
        assert row.status is Status.ACTIVE
        stage.wait(WEST, dead)
        assert time.monotonic() - since < patience + 1
    stage.wait(WEST, lambda row: row.status is Status.ACTIVE)


def installed(stage: Stage, site: Site) -> list[ChildSa]:
    return [
        child
        for sa in stage.observed(site)
        for child in sa.children
        if child.state is SaState.INSTALLED
    ]


def children_of(stage: Stage) -> str:
    """Return each side's children, a line for each; the whole of an IKE SA would be cut short."""
    return "\n".join(
        f"{site.name}: {sa.unique_id} {child}"
        for site in (WEST, EAST)
        for sa in stage.observed(site)
        for child in sa.children
    )


@contextlib.contextmanager
def no_wire() -> Iterator[None]:
    """Let nothing pass between the routers."""

    def each_port(state: str) -> None:
        for port in json.loads(run("ip", "-j", "link", "show", "master", WIRE)):
            run("ip", "link", "set", port["ifname"], "type", "bridge_slave", "isolated", state)

    each_port("on")
    try:
        yield
    finally:
        each_port("off")


def renew_at_once(stage: Stage) -> None:
    """Let west and east make the same child anew: each has begun before it hears of the other."""
    west, *_ = installed(stage, WEST)
    (east,) = [child for child in installed(stage, EAST) if child.spis == west.spis]
    with no_wire():
        stage.swan.apply(WEST.router_id, RekeyChild(west.unique_id))
        stage.swan.apply(EAST.router_id, RekeyChild(east.unique_id))

        def began(site: Site) -> bool:
            # Asked of charon: no event tells of a first message.
            children = [child for sa in stage.raw_sas(site) for child in sa["child-sas"].values()]
            return any(child["state"] == b"REKEYING" for child in children)

        until = time.monotonic() + 10
        while not (began(WEST) and began(EAST)):
            assert time.monotonic() < until
            stage.cloud.until(lambda: False, 0.1)


def test_of_a_child_that_both_renew_at_once_one_stays(stage: Stage) -> None:
    """The same on both sides, without waiting for a lifetime's end; nothing of others is lost."""

    def spis(site: Site) -> set[frozenset[int]]:
        return {child.spis for child in installed(stage, site)}

    def is_one(count: int) -> bool:
        return spis(WEST) == spis(EAST) and len(spis(WEST)) == count

    before = spis(WEST)
    renew_at_once(stage)
    # In IKEv1 the side that was answered first has both; charon alone would keep them.
    until = time.monotonic() + 30
    while stage.settings.version is IkeVersion.V1 and not any(
        len(spis(site) - before) > 1 for site in (WEST, EAST)
    ):
        assert time.monotonic() < until, "their messages didn't cross"
        stage.cloud.until(lambda: False, 0.1)
    with Sender() as sender:
        sender.ask("begin")
        until, since = time.monotonic() + 30, time.monotonic()
        while time.monotonic() < since + 2:
            assert time.monotonic() < until, children_of(stage)
            if not is_one(len(before)) or before == spis(WEST):
                since = time.monotonic()
            stage.cloud.until(lambda: False, 0.1)
        sender.ask("more 50")
        lost = sender.ask("end")["lost"]
    assert len(lost.pop("own")) <= ALLOWED[stage.settings.version]
    assert not any(lost.values()), lost
