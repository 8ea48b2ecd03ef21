"""A few rows of `make losses`; all of them: docs/live.md."""

from __future__ import annotations

import pytest

from bench.losses.measure import Sender, measure
from bench.losses.rows import rows_of
from bench.losses.stage import Stage

SOME = (
    "name, description",
    "psk, one side after the other",
    "psk, first the side that only responds",
    "local endpoint group: another network for one",
    "ikepolicy: encryption, both sides at once",
    "ikepolicy: group, one side after the other",
    "ikepolicy: version, both sides at once",
    "ipsecpolicy: encryption, one side after the other",
    "ipsecpolicy: integrity, one side after the other",
    "ipsecpolicy: pfs, refused and taken back",
    "peer_address",
    "mtu",
    "service: admin_state_up, down and up",
    "local endpoint group: another one",
    "another connection goes and comes",
)


@pytest.mark.parametrize("name", SOME)
def test_a_change_loses_no_more_than_promised(stage: Stage, name: str) -> None:
    """And nothing of other connections and routers; nothing in clear."""
    (row,) = [
        row for row in rows_of(stage.settings.version, stage.settings.plane) if row.name == name
    ]
    with Sender() as sender:
        result = measure(stage, sender, row)
    assert result.holds(), result
