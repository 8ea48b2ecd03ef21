import pytest

from tests.unit.enabling.contract import LAWS
from tests.unit.enabling.memory import MemoryCluster


@pytest.mark.parametrize("law", LAWS)
def test_a_cluster_in_memory_is_as_a_cluster_is(law):
    """What tests/functional/enabling/test_contract.py asks of Kubernetes' API."""
    law(MemoryCluster())
