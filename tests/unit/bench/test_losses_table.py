"""The table of what changes cost tells the worst, and what isn't as promised."""

from __future__ import annotations

from typing import Any

import pytest

from bench.losses import table


def _result(row: str, ike: str, concerned: int | None, **more: Any) -> dict[str, Any]:
    plain = {"row": row, "ike": ike, "concerned": concerned, "others": 0, "holds": True}
    return {**plain, **more}


def _run(*results: dict[str, Any]) -> dict[str, Any]:
    return {
        "machine": "Linux 6",
        "delay_ms": 0.0,
        "allowed": {"v1": 5, "v2": 1},
        "load": [0.5, 1.25],
        "results": results,
    }


def test_a_change_has_one_line_with_a_cell_for_each_kind_of_run() -> None:
    runs = {
        "losses.json": _run(_result("psk", "v2", 0), _result("psk", "v1", 3)),
        "kernel/losses.json": _run(_result("psk", "v2", 2), _result("deleted", "v2", None)),
    }
    lines = table.table(runs).splitlines()
    assert (
        lines[0] == "| change | OVN, IKEv2 | OVN, IKEv1 | kernel ESP, IKEv2 | kernel ESP, IKEv1 |"
    )
    assert lines[2:4] == ["| psk | 0 | 3 | 2 |  |", "| deleted |  |  | ended |  |"]
    assert "OVN: Linux 6, 0 ms one way; promised 1 in IKEv2, 5 in IKEv1; load 0.5" in lines[5]


@pytest.mark.parametrize(
    ("results", "text"),
    [
        (
            [_result("psk", "v2", 1), _result("psk", "v2", 4, holds=False)],
            "**4**: promise not kept",
        ),
        ([_result("psk", "v2", 0, others=2, holds=False)], "**0, 2 of others**: promise not kept"),
        ([_result("psk", "v2", 0), _result("psk", "v2", 1)], "1"),
        ([], ""),
    ],
)
def test_a_cell_tells_the_worst(results: list[dict[str, Any]], text: str) -> None:
    assert table.cell(results) == text


def test_the_table_replaces_the_older_one_and_nothing_else() -> None:
    runs = {"losses.json": _run(_result("psk", "v2", 0))}
    before = f"head\n{table.BEGIN}| old |\n{table.END}\ntail\n"
    after = table.into(before, runs)
    assert after.startswith(f"head\n{table.BEGIN}| change |")
    assert after.endswith(f"{table.END}\ntail\n")
    assert "old" not in after and table.into(after, runs) == after
    with pytest.raises(ValueError, match="no place"):
        table.into("nothing", runs)


def test_the_document_has_a_place_for_it() -> None:
    assert table.into(table.DOCUMENT.read_text(), {"losses.json": _run()})
