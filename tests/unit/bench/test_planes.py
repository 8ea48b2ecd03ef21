"""Who encrypts in a benchmark is what was asked for, else what the kernel has."""

import argparse
import json

import pytest

from bench import planes


@pytest.mark.parametrize("has_esp", [True, False])
@pytest.mark.parametrize("asked", ["kernel", "userspace", None])
def test_the_plane_is_the_one_asked_for_else_what_this_kernel_has(has_esp, asked):
    parser = argparse.ArgumentParser()
    planes.add_options(parser, lambda: has_esp)
    options = parser.parse_args([] if asked is None else ["--plane", asked])
    assert options.plane == (asked or ("kernel" if has_esp else "userspace"))


def test_figures_tell_their_machine_and_its_load_before_and_after(tmp_path):
    """The file's folder is made."""
    machine = planes.Machine()
    planes.write(tmp_path / "kernel" / "figures.json", {**machine.plain(), "rest": 1})
    told = json.loads((tmp_path / "kernel" / "figures.json").read_text())
    assert set(told) == {"machine", "load", "rest"}
    assert len(told["load"]) == 2
