"""What some changes cost on a way of 40 ms there and back; all: `make losses-kernel`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.losses.measure import Sender, measure
from bench.losses.rows import ALLOWED, V2, rows_of
from bench.losses.stage import GRACE, Settings, Stage
from swanherd.core.model import DataPlane, IkeVersion
from tests.functional.live import conftest as live

own_mounts = live.own_mounts

# Packets: what IKEv2 loses in the kernel is one more than in userspace.
BOUND = {**ALLOWED, V2: 2}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=IkeVersion)
def stage(own_mounts: None, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with live.own_network(), Stage(Settings(DataPlane.KERNEL, request.param, 20, GRACE)) as made:
        yield made


@pytest.mark.parametrize(
    "name",
    [
        "a smaller network, both at once",
        "a larger network, both at once",
        "ipsecpolicy: esp to ah, both sides at once",
    ],
)
def test_a_child_of_another_tunnel_loses_no_more_than_one_of_the_same(
    stage: Stage, name: str
) -> None:
    """The kernel lets in what comes by either; it was up to seconds that it dropped."""
    stage.reset()
    rows = rows_of(stage.settings.version, DataPlane.KERNEL)
    with Sender() as sender:
        result = measure(stage, sender, next(row for row in rows if row.name == name))
    assert result.holds(BOUND), result
