import pytest

from swanherd_operator.controller.cluster import Access, ApiCluster
from tests.functional.enabling.api_server import serving
from tests.unit.enabling.contract import LAWS


@pytest.mark.parametrize("law", LAWS)
def test_kubernetes_api_is_as_a_cluster_is(law):
    """By the requests that the operator makes, to the API server of these tests."""
    with serving() as (_, url):
        law(ApiCluster(lambda: Access(url)))
