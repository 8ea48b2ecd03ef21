import contextlib
import io
import pathlib
import re
import shlex
import subprocess

import pytest

from swanherd_operator import cmd

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / "docs" / "enabling.md"


def examples():
    """Yield each command of the page with what it prints, as the page has it."""
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


@pytest.mark.parametrize(("command", "printed"), list(examples()))
def test_the_page_shows_what_is_printed(command, printed, monkeypatch):
    """Every command and its output, to the letter."""
    monkeypatch.chdir(ROOT)
    before, _, call = command.rpartition(" | ")
    name, *argv = shlex.split(call)
    assert name == "swanherd-enable"
    if before:
        done = subprocess.run(shlex.split(before), capture_output=True, text=True, check=True)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(done.stdout.encode())))
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        cmd.main(argv)
    assert printed == told.getvalue()
