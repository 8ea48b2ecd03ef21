"""The chart of bytes and packets: its numbers, and what is drawn of them on the page."""

import pathlib
import re

import pytest
from playwright.sync_api import expect

import swanherd_dashboard
from tests.dashboard import themes
from tests.dashboard.browser.test_barriers import barriers, contrasts, dress
from tests.dashboard.cloud import with_a_tunnel

HERE = pathlib.Path(swanherd_dashboard.__path__[0])
SCRIPT = HERE / "static" / "swanherd_dashboard" / "chart.js"
COUNTERS = ("bytes_in", "bytes_out", "packets_in", "packets_out")


@pytest.fixture(scope="module")
def chart(chromium):
    """Call a function of the chart's script, which needs no page."""
    page = chromium.new_page()
    page.add_script_tag(path=SCRIPT)
    yield lambda name, *args: page.evaluate(
        "([name, args]) => window.swanherdChart[name](...args)", [name, args]
    )
    page.close()


def look(at, **pairs):
    return {"at": at, "pairs": pairs}


def test_a_point_is_the_mean_of_a_second_between_two_looks(chart):
    """Of all pairs of networks together; a pair that is gone has passed nothing more."""
    before = look(100, a=[1000, 0, 10, 0], b=[0, 0, 0, 0], gone=[9, 9, 9, 9])
    point = chart("point", before, look(110, a=[3000, 50, 30, 5], b=[500, 0, 1, 0]))
    assert [point[each] for each in COUNTERS] == [250, 5, 2.1, 0.5]
    assert (point["from"], point["at"]) == (100, 110)


def test_a_rekey_takes_nothing_away(chart):
    """A pair's counters begin anew with it, also while another pair's grow by more."""
    before = look(0, a=[5000, 0, 50, 0], b=[0, 0, 0, 0])
    point = chart("point", before, look(10, a=[200, 0, 2, 0], b=[8000, 0, 8, 0]))
    assert [point[each] for each in COUNTERS] == [820, 0, 1, 0]


def test_only_another_look_adds_a_point(chart):
    """The first has none before it, the same again and none at all say nothing; 240 stay."""
    kept = chart("remember", {"last": None, "points": []}, look(0, a=[0, 0, 0, 0]))
    assert kept["points"] == []
    for nothing_new in (look(0, a=[0, 0, 0, 0]), look(-1, a=[0, 0, 0, 0]), None):
        assert chart("remember", kept, nothing_new) == kept
    for at in range(1, 250):
        kept = chart("remember", kept, look(at, a=[at, 0, 0, 0]))
    assert [point["at"] for point in kept["points"]] == list(range(10, 250))


@pytest.mark.parametrize(
    ("most", "last", "count"),
    [
        *((0, 1, 6), (1, 1, 6), (9, 10, 6), (10, 10, 6), (10.1, 15, 4), (1234, 1500, 4)),
        *((5000, 5000, 6), (7.3e9, 8e9, 5), (0.04, 1, 6)),
    ],
)
def test_the_scale_ends_in_a_round_number(chart, most, last, count):
    """Not below what is drawn, and in steps that people count in."""
    marks = chart("ticks", most)
    assert marks[0] == 0
    assert (marks[-1], len(marks)) == (pytest.approx(last), count)
    assert re.fullmatch(r"[125](\.0+)?e.*", f"{marks[1]:.6e}")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        *((0, "B/s", "0 B/s"), (0.0167, "/s", "0.02 /s"), (999, "B/s", "999 B/s")),
        *((999.9, "B/s", "1 kB/s"), (1500, "B/s", "1.5 kB/s"), (2e6, "/s", "2 M/s")),
        *((12.4, "/s", "12 /s"), (5e15, "B/s", "5000 TB/s")),
    ],
)
def test_values_are_read_easily(chart, value, unit, text):
    """With a prefix, and few digits."""
    assert chart("word", value, unit) == text


def counted(row, at, *counts):
    """Have the gateway count once more; live answers bring it."""
    child = row["details"]["children"][0] | dict(zip(COUNTERS, counts, strict=True))
    row["details"] = {**row["details"], "at": at, "children": [child]}


@pytest.fixture
def row(cloud):
    return with_a_tunnel(cloud)


def test_what_is_drawn_of_what_the_gateway_counts(visit, row):
    """Without a reload: lines, axes with their units and times, the last values as text.

    In a narrow window the letters are as large as in a wide one.
    """
    page = visit(f"{row['id']}/", timezone_id="UTC")
    figure = page.locator(".sh-chart")
    expect(figure).to_contain_text("begins when the gateway has counted a second time")
    expect(figure.locator("table")).to_be_hidden()

    counted(row, "2026-11-26T20:02:00Z", 61500, 2500, 75, 25)
    drawn = figure.locator("[data-sh-drawn=bytes]")
    expect(drawn).to_have_attribute("aria-label", "Bytes per second: in 1 kB/s, out 0 B/s")
    expect(drawn.locator(".sh-tick")).to_have_text(
        ["0 B/s", "200 B/s", "400 B/s", "600 B/s", "800 B/s", "1 kB/s"]
    )
    expect(drawn.locator(".sh-time")).to_have_text(["8:01:00 PM", "8:02:00 PM"])
    packets = figure.locator("[data-sh-drawn=packets]")
    expect(packets).to_have_attribute("aria-label", "Packets per second: in 1 /s, out 0 /s")
    assert packets.get_attribute("role") == "img"
    (high, low) = (drawn.locator(f"polyline.sh-{way}") for way in ("in", "out"))
    assert (heights(high), heights(low)) == ({10.0}, {108.0})

    counted(row, "2026-11-26T20:03:00Z", 100, 602500, 1, 1225)  # it was rekeyed
    expect(drawn).to_have_attribute("aria-label", re.compile(r"in 1\.7 B/s, out 10 kB/s"))
    expect(figure.locator(".sh-key-out").first).to_have_text("out 10 kB/s")
    figure.locator("summary").click()
    rows = figure.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("8:03:00 PM1.7 B/s10 kB/s0.02 /s20 /s")
    expect(rows.nth(1)).to_contain_text("8:02:00 PM1 kB/s0 B/s1 /s0 /s")
    letters = drawn.locator(".sh-tick").first.evaluate(SIZE)
    page.set_viewport_size({"width": 320, "height": 800})
    expect(drawn).to_have_attribute("viewBox", re.compile(r"^0 0 (2|3)\d\d 130$"))
    assert drawn.locator(".sh-tick").first.evaluate(SIZE) == pytest.approx(letters, rel=0.05)

    assert barriers(page) == []
    page.reload()
    expect(figure.locator("tbody tr")).to_have_count(2)
    for theme in themes.NAMES:
        dress(page, theme)
        for way in ("in", "out"):
            assert min(contrasts(page, f"polyline.sh-{way}", "stroke")) >= 3, (theme, way)
        assert min(contrasts(page, ".sh-chart text", "fill")) >= 4.5, theme


SIZE = "each => each.getBoundingClientRect().width / each.textContent.length"


def heights(line):
    points = line.get_attribute("points").split()
    return {float(point.split(",")[1]) for point in points}
