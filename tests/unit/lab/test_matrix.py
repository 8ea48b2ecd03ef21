import pathlib

import pytest

from lab import matrix
from lab.matrix import BACKENDS, BEGIN, END, FAMILIES, Cell, into, read, table, write


def cells(backend: str, ok: bool = True) -> list[Cell]:
    return [Cell(backend, inner, outer, ok, "seen") for inner, outer in FAMILIES]


def test_a_run_replaces_its_own_cells_only(tmp_path: pathlib.Path) -> None:
    """Suites of different backends write one file; so does a second try of what failed."""
    file = tmp_path / "matrix.json"
    write([*cells("ovn"), *cells("ovn-dvr")], file)
    write(cells("ovs", ok=False), file)
    write(cells("ovs")[:2], file)
    seen = read(file)
    assert sorted(c.backend for c in seen) == ["ovn"] * 4 + ["ovn-dvr"] * 4 + ["ovs"] * 4
    assert [c for c in seen if not c.ok] == cells("ovs", ok=False)[2:]


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


def test_a_cell_that_does_not_work_or_was_not_run_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Sixteen cells that work are a success, and nothing less."""
    file = tmp_path / "matrix.json"
    monkeypatch.setattr(matrix, "read", lambda path=file: read(path))
    for backend in BACKENDS:
        assert matrix.main([]) == 1
        write(cells(backend), file)
    assert matrix.main([]) == 0
    write(cells("ovs", ok=False)[:1], file)
    assert matrix.main([]) == 1
