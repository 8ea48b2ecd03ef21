import pathlib

import pytest

from lab.matrix import BEGIN, END, FAMILIES, Cell, into, read, table, write


def cells(backend: str, ok: bool = True) -> list[Cell]:
    return [Cell(backend, inner, outer, ok, "seen") for inner, outer in FAMILIES]


def test_a_run_replaces_the_cells_of_its_own_backends_only(tmp_path: pathlib.Path) -> None:
    """Suites of different backends write one file, in any order; a cell that is gone is gone."""
    file = tmp_path / "matrix.json"
    write([*cells("ovn"), *cells("ovn-dvr")], file)
    write(cells("ovs"), file)
    write(cells("ovn", ok=False)[:1], file)
    seen = read(file)
    assert {b: sum(c.backend == b for c in seen) for b in ("ovn", "ovn-dvr", "ovs")} == {
        "ovn": 1,
        "ovn-dvr": 4,
        "ovs": 4,
    }
    assert [c for c in seen if not c.ok] == cells("ovn", ok=False)[:1]


def test_what_was_not_run_is_not_shown_as_working() -> None:
    """Each of the sixteen cells says works, FAILS or not run."""
    shown = table([*cells("ovn"), *cells("ovs", ok=False)])
    assert tuple(shown.count(word) for word in ("works", "FAILS", "not run")) == (4, 4, 8)


def test_the_table_is_written_between_its_marks_again_and_again() -> None:
    """Nothing around it changes; a second time changes nothing."""
    once = into(f"before\n{BEGIN}old\n{END}\nafter\n", cells("ovn"))
    assert once.startswith("before\n") and once.endswith("after\n") and "old" not in once
    assert once == into(once, cells("ovn"))
    with pytest.raises(ValueError, match="no place"):
        into("no marks", cells("ovn"))
