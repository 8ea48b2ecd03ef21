import contextlib
import io
import itertools
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from swanherd_operator import cmd, document
from swanherd_operator.outputs import osdpl

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


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_pages_yaml_is_what_is_read():
    """The flag by the resource's reader; the chart's values are the file that the page names."""
    flag, values, certificates, clouds = (yaml.safe_load(block) for block in blocks("yaml"))
    example = yaml.safe_load((ROOT / "docs" / "examples" / "osdpl.yaml").read_text())
    merged = osdpl.merged(example, flag)
    assert document.parse(merged).enabled
    assert values == yaml.safe_load((ROOT / "docs" / "examples" / "values.yaml").read_text())
    assert (set(clouds), "certificates" in certificates) == ({"clouds"}, True)


def test_what_the_pages_other_commands_name_is_there():
    """Files of the tree, targets of the Containerfile, distributions."""
    lines = " ".join(blocks("text")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if line.strip()]
    containerfile = (ROOT / "container" / "Containerfile").read_text()
    for line in words:
        options = dict(itertools.pairwise(line))
        for option in ("--filename", "--file"):
            assert option not in options or (ROOT / options[option]).is_file()
        if "--target" in options:
            assert f" AS {options['--target']}\n" in containerfile
    assert {line[0] for line in words} == {"pip", "buildah", "kubectl"}
