"""The table of runs with many connections has them beside each other."""

from bench.scale import table


def run(plane, routers=1, **figures):
    shape = {"plane": plane, "routers": routers, "connections": 1000}
    return {**shape, "machine": "Linux 6", "load": [0.5, 1.25], "figures": figures}


def test_each_figure_has_one_line_with_a_cell_for_each_run():
    """Those that one run hasn't are empty there."""
    first = run("userspace", up_s=16.789, edit_cpu_ms=44.12, restart_lost=0)
    second = run("kernel", routers=200, edit_cpu_ms=1136.9686, soak_rss_mb=[1.5, 2.0, 3.5])
    lines = table.table([first, second]).splitlines()
    assert (
        lines[0] == "| figure | 1000, userspace ESP | 1000 on 200 routers, kernel ESP | promise |"
    )
    assert lines[2:6] == [
        "| `up_s` | 16.8 |  |  |",
        "| `edit_cpu_ms` | 44.1 | 1137 | ≤ 50 |",
        "| `restart_lost` | 0 |  | 0 |",
        "| `soak_rss_mb` |  | 1.5 to 3.5 |  |",
    ]
    assert (
        lines[-1] == "- 1000 on 200 routers, kernel ESP: Linux 6, load 0.5 before and 1.2 after."
    )
