"""One row of `bench.losses --backend ovs`: in routers' own namespaces, among Neutron's rules."""

from __future__ import annotations

from bench.losses.measure import Sender, measure
from bench.losses.rows import rows_of
from bench.losses.stage import Stage

# The same there: a peer whose name moves.
from tests.functional.live.test_names import (  # noqa: F401
    GRACE,
    test_the_tunnel_goes_where_the_name_goes,
    zone,
)

L3 = True
NAME = "ipsecpolicy: encryption, one side after the other"


def test_a_change_loses_no_more_than_promised(stage: Stage) -> None:
    """And nothing of other connections and routers; nothing in clear."""
    (row,) = [
        row for row in rows_of(stage.settings.version, stage.settings.plane) if row.name == NAME
    ]
    with Sender() as sender:
        result = measure(stage, sender, row)
    assert result.holds(), result
