from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from swanherd.agent.exposition import Page, lines_of
from swanherd.core.metrics import METRICS, Family, Kind, plain

NUMBERS = st.one_of(st.integers(0, 2**63), st.booleans(), st.floats(0, 1e12))


def text_of(family):
    return "".join(f"{line}\n" for line in lines_of(family))


def families():
    plainly = [m for m in METRICS.values() if m.kind is not Kind.HISTOGRAM]
    return st.sampled_from(plainly).flatmap(
        lambda metric: st.dictionaries(
            st.tuples(*(st.text().map(plain) for _ in metric.labels)), NUMBERS, min_size=1
        ).map(lambda samples: Family(metric, tuple(samples.items())))
    )


@given(families())
def test_what_is_written_is_what_prometheus_reads(family):
    """Name, type, meaning, labels and numbers, by prometheus_client's own parser."""
    (read,) = text_string_to_metric_families(text_of(family))
    metric = family.metric
    assert read.name == metric.name.removesuffix("_total")
    assert (read.type, read.documentation) == (metric.kind, metric.meaning)
    found = {tuple(s.labels[name] for name in metric.labels): float(s.value) for s in read.samples}
    assert found == {labels: float(value) for labels, value in family.samples}
    assert {sample.name for sample in read.samples} == {metric.name}


def test_a_histogram_is_one():
    """Buckets, number and sum."""
    metric = next(m for m in METRICS.values() if m.kind is Kind.HISTOGRAM)
    family = Family(metric, ((("0.5",), 1), (("+Inf",), 3)), 4.25)
    (read,) = text_string_to_metric_families(text_of(family))
    assert (read.name, read.type) == (metric.name, "histogram")
    found = {(s.name.removeprefix(metric.name), s.labels.get("le")): s.value for s in read.samples}
    wanted = {("_bucket", "0.5"): 1, ("_bucket", "+Inf"): 3, ("_count", None): 3}
    assert found == wanted | {("_sum", None): 4.25}


def test_a_long_page_goes_out_in_small_parts():
    """Nothing of it is lost or cut between them."""
    metric = METRICS["swanherd_router_ready"]
    family = Family(metric, tuple(((f"r{number}", "qvpn"), 1) for number in range(999)))
    parts = [part.decode() for part in Page(lambda: [family]).parts()]
    assert len(parts) > 5
    assert "".join(parts).startswith(text_of(family))
