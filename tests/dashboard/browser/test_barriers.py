"""Nothing stands in anybody's way: in each theme, in a narrow window, by keyboard alone."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from swanherd_dashboard.agents.views import KIND
from tests.dashboard import themes
from tests.dashboard.barriers import grave
from tests.dashboard.cloud import Reply, with_a_tunnel

# WCAG 1.4.11 and 1.4.3, for what axe doesn't look at: drawings.
LINES = ".sh-picture path:not(.sh-wide), .sh-picture rect", "stroke", 3
WORDS = ".sh-picture text", "fill", 4.5
EVENTS = ".sh-events li", "border-left-color", 3
COLOURS = """([which, property]) => [...document.querySelectorAll(which)].map(each => {
  let ground = each, colour = 'rgba(0, 0, 0, 0)';
  while (ground && colour.endsWith(', 0)')) {
    colour = getComputedStyle(ground).backgroundColor;
    ground = ground.parentElement;
  }
  return [getComputedStyle(each)[property], colour];
})"""
# What is there now and then: what is folded, errors, warnings, what a change does.
UNFOLD = """() => {
  document.querySelectorAll('.sh-panel details').forEach(each => { each.open = true; });
  document.querySelectorAll('.sh-panel .alert').forEach(each => { each.hidden = false; });
  document.querySelectorAll('.sh-panel [data-sh-field]').forEach(field => {
    field.classList.add('has-error');
    field.querySelector('.sh-error-text').textContent = 'That is no address.';
  });
}"""
# The theme material changes colours and sizes by and by.
AT_ONCE = "*, ::before, ::after { transition: none !important; animation: none !important; }"
COLOURS_OF_TEXT = ["color-contrast", "link-in-text-block"]
NARROWNESS = ["scrollable-region-focusable", "target-size"]
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 320, "height": 800}  # WCAG 1.4.10: nobody scrolls two ways


PAGES = ["list", "picture", "connect", "connection", "edit", "policies", "ike", "ipsec"]
PAGES += ["agents", "agent"]


def with_everything(cloud):
    """Have a connection, and an agent that serves it; return the addresses of all pages."""
    row = with_a_tunnel(cloud)
    row["events"] = [{**row["events"][0], "text": f"IKE:{'AES_CBC_256/' * 9}"}]
    with_a_tunnel(cloud, name="to-depot", status="DOWN", status_reason="The peer is silent.")
    with_a_tunnel(cloud, name="to-shop", status="PENDING_UPDATE")
    with_a_tunnel(cloud, name="to-port", status="ERROR")
    ike = next(iter(cloud.rows["vpn/ikepolicies"]))
    router = next(iter(cloud.rows["routers"].values()))
    agents = [
        cloud.add("agents", agent_type=KIND, host=host, alive=alive, admin_state_up=alive)
        for host, alive in (("gw1", True), ("gw2", False))
    ]
    served = Reply(200, {"routers": [router]})
    for agent in agents:
        cloud.refusals["GET", f"agents/{agent['id']}/vpn-routers"] = served
    where = Reply(200, {"agents": [{"host": "gw1", "ha_state": "active"}]})
    cloud.refusals["GET", f"routers/{router['id']}/vpn-agents"] = where
    one, operators = f"{row['id']}/", "/admin/swanherd_agents/"
    ours = ["", "picture", "connect", one, f"{one}edit", "policies", f"policies/ike/{ike}/edit"]
    return [*ours, "policies/ipsec/new", operators, f"{operators}{agents[0]['id']}/"]


def barriers(page):
    return grave(Axe().run(page, ".sh-panel").response)


def again(page, rules):
    """Look with some rules alone at a page in which axe is already."""
    options = {"runOnly": rules, "resultTypes": ["violations", "incomplete"]}
    return grave(page.evaluate("with_ => axe.run('.sh-panel', with_)", options))


def dress(page, theme):
    """Give the page a theme's style."""
    page.evaluate(
        """name => new Promise(done => {
      const link = document.querySelector('link[href^="/theme/"]');
      const wanted = `/theme/${name}.css`;
      if (link.getAttribute('href') === wanted) { done(); return; }
      link.onload = done;
      link.setAttribute('href', wanted);
    })""",
        theme,
    )


def too_wide(page):
    return page.evaluate("""() => [...document.querySelectorAll('.sh-panel, .sh-panel *')]
      .filter(each => each.getBoundingClientRect().right > innerWidth
              && !each.closest('.table-responsive, .sh-picture'))
      .map(each => each.outerHTML.slice(0, 80))""")


def luminance(colour):
    """Return WCAG's relative luminance of a colour as Chromium says it."""
    channels = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(part * c for part, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrasts(page, which, prop):
    """Return the contrast of each drawn thing with what is behind it."""
    pairs = page.evaluate(COLOURS, [which, prop])
    both = [sorted(map(luminance, pair)) for pair in pairs]
    return [(bright + 0.05) / (dark + 0.05) for dark, bright in both]


@pytest.mark.parametrize("which", range(len(PAGES)), ids=PAGES)
def test_nothing_serious_on_any_page(visit, cloud, which):
    """axe finds no serious barrier in what is ours, wide and narrow, in each theme's colours.

    In a narrow window nothing is wider than it is, but for tables that scroll by themselves.
    """
    found, page = [], visit(with_everything(cloud)[which])
    assert len(page.locator(".sh-panel").inner_text()) > 40
    page.evaluate(UNFOLD)
    page.add_style_tag(content=AT_ONCE)
    found += [("wide", *each) for each in barriers(page)]
    for theme in themes.NAMES:
        dress(page, theme)
        found += [(theme, *each) for each in again(page, COLOURS_OF_TEXT)]
        page.set_viewport_size(NARROW)
        found += [(theme, "narrow", each) for each in again(page, NARROWNESS)]
        found += [(theme, "too wide", each) for each in too_wide(page)]
        page.set_viewport_size(WIDE)
    assert found == []


def test_drawings_stand_out_in_any_theme(visit, cloud):
    """Lines, boxes, their names and the events' marks are told from what is behind them."""
    one = with_everything(cloud)[3]
    for path, drawn in (("picture", (LINES, WORDS)), (one, (EVENTS,))):
        page = visit(path)
        for theme in themes.NAMES:
            dress(page, theme)
            for which, prop, least in drawn:
                found = contrasts(page, which, prop)
                assert found, which
                assert min(found) >= least, (theme, which)


def test_a_screen_reader_is_told_the_language(visit, cloud):
    """Horizon's page doesn't say it; ours do."""
    page = visit(f"{with_a_tunnel(cloud)['id']}/", locale="de-DE")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    rules = [each["id"] for each in Axe().run(page).response["violations"]]
    assert "html-has-lang" not in rules


def reach(page, which):
    """Go on by Tab until it has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("which => document.activeElement.matches(which)", which):
            return
    raise AssertionError(f"no Tab leads to {which}")


def test_the_keyboard_is_enough(visit, cloud):
    """Without a mouse: from nothing to a connection, and from the picture's line to its page."""
    row = with_a_tunnel(cloud)
    page = visit("picture")
    reach(page, "a.sh-line")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/swanherd/{row['id']}/$"))

    page = visit("connect")
    for which, typed in (
        ("#id_name", "by-hand"),
        ("input[name=subnets]", " "),
        ("#id_peer_address", "198.51.100.9"),
        ("#id_peer_cidrs", "10.8.0.0/24"),
    ):
        reach(page, which)
        page.keyboard.type(typed)
    reach(page, "[data-sh-generate]")
    page.keyboard.press("Space")
    reach(page, "[data-sh=submit]")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))
    expect(page.locator("h1")).to_contain_text("by-hand")
