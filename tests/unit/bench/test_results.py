"""Figures of one command don't remove those of another."""

import json
import pathlib

import pytest

from bench import results
from bench.results import Result


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(results, "FILE", tmp_path / "bench.json")
    return tmp_path / "bench.json"


def test_what_another_command_wrote_stays_and_the_same_name_is_replaced(file) -> None:
    """The file has each name once, with the newest value, its peer's and the ratio."""
    assert results.write([Result("one", 1, "s"), Result("two", 2, "s")]) == 0
    assert results.write([Result("two", 3, "s", peer=6)]) == 0
    assert {
        row["name"]: (row["value"], row["peer"], row["ratio"])
        for row in json.loads(file.read_text())["results"]
    } == {
        "one": (1, None, None),
        "two": (3, 6, 0.5),
    }


def test_a_promise_that_isnt_kept_is_the_exit_status(file, capsys) -> None:
    """It is printed as FAIL, and the figure is in the file all the same."""
    assert results.write([Result("slow", 2, "s", limit=1)]) == 1
    assert "FAIL slow" in capsys.readouterr().out
    assert json.loads(file.read_text())["results"][0]["value"] == 2
