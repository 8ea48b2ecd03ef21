"""IKE SAs are renewed, by one side after the other, and neither traffic nor status notices."""

from __future__ import annotations

import dataclasses
import time

import pytest

from bench.losses.measure import Sender
from bench.losses.stage import EAST, WEST, Site, Stage
from swanherd.core.ike import SaState
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
