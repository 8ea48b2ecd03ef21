"""Metrics in Prometheus' text format (its documentation, "Exposition formats", version 0.0.4).

Written here, since a thousand connections make 15,000 samples, for which prometheus_client takes
ten times as long; what the process itself is comes from there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry

from swanherd.core.metrics import Family, Kind

# Lines that are sent at once: what is longer malloc takes and gives back in large pieces.
_LINES = 200


class Page:
    """All metrics of an agent; `read` returns ours, those of the process come from /proc."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, read: Callable[[], Iterable[Family]]) -> None:
        self._read = read
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)

    def parts(self) -> Iterable[bytes]:
        """Return the page of this moment in small parts: whole it takes megabytes.

        What can fail is done before anything is returned.
        """
        ours, process = self._read(), generate_latest(self._process)
        lines = (line for family in ours for line in lines_of(family))
        return itertools.chain(_joined(lines), (process,))


def _joined(lines: Iterator[str]) -> Iterator[bytes]:
    while part := "\n".join(itertools.islice(lines, _LINES)):
        yield f"{part}\n".encode()


def lines_of(family: Family) -> Iterator[str]:
    """Yield a metric's lines; its labels need no escapes (core.metrics.plain)."""
    metric = family.metric
    meaning = metric.meaning.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {metric.name} {meaning}"
    yield f"# TYPE {metric.name} {metric.kind}"
    if metric.kind is Kind.HISTOGRAM:
        for (bound,), number in family.samples:
            yield f'{metric.name}_bucket{{le="{bound}"}} {number}'
        yield f"{metric.name}_count {family.samples[-1][1]}"
        yield f"{metric.name}_sum {family.total}"
        return
    pattern = ",".join(f'{label}="%s"' for label in metric.labels)
    start = f"{metric.name}{{{pattern}}} " if pattern else f"{metric.name} "
    for labels, value in family.samples:
        # What is true is 1.
        yield f"{start % labels}{+value}"
