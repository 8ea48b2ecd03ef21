"""The panel in Chromium, on a Neutron in memory: what only a browser can tell, in a short run."""

import re
import time

from playwright.sync_api import expect

from tests.dashboard.cloud import KEY, with_a_tunnel

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>"


def test_a_change_is_seen_within_three_seconds(visit, cloud):
    """On the list, the picture and the connection's page, without a reload."""
    row = with_a_tunnel(cloud)
    for path, place in (
        ("", "tbody .sh-badge"),
        ("picture", "a.sh-line"),
        (f"{row['id']}/", ".sh-state .sh-badge"),
    ):
        row["status"] = "ACTIVE"
        page = visit(path)
        expect(page.locator(place)).to_have_class(re.compile(r"\bsh-up\b"))
        row["status"] = "DOWN"
        began = time.monotonic()
        expect(page.locator(place)).to_have_class(re.compile(r"\bsh-down\b"), timeout=10000)
        assert time.monotonic() - began < 3


def test_an_interval_costs_one_request(visit, cloud):
    """Of the page, and of Neutron, however many connections are shown; 2.5 s apart."""
    row = with_a_tunnel(cloud)
    for _ in range(9):
        with_a_tunnel(cloud)
    for path in ("", "picture", f"{row['id']}/"):
        page = visit(path)
        with page.expect_response(re.compile("/live")):
            pass
        page.wait_for_load_state("networkidle")
        asked, times = [], []
        page.on("request", lambda request, into=asked: into.append(request.url))
        before = len(cloud.asked)
        for _ in range(3):
            with page.expect_response(re.compile("/live")):
                pass
            times.append(time.monotonic())
        assert len(asked) == 3, asked
        assert len(cloud.asked) - before == 3, cloud.asked[before:]
        assert times[2] - times[0] > 4
        page.context.close()


def test_a_hidden_page_asks_nothing(visit, cloud):
    """And asks at once when it is seen again."""
    page = visit(f"{with_a_tunnel(cloud)['id']}/")
    hide = "value => { Object.defineProperty(document, 'hidden', {value, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    with page.expect_response(re.compile("/live")):
        pass
    page.evaluate(hide, True)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(3000)  # longer than an interval: that nothing comes can't be awaited
    assert asked == []
    with page.expect_request(re.compile("/live"), timeout=1000):
        page.evaluate(hide, False)


def test_names_are_text_for_the_script_too(visit, cloud):
    """Whatever a name or a reason says, also in what a live answer brings, none of it runs."""
    row = with_a_tunnel(cloud, name=HOSTILE, status_reason=HOSTILE, description=HOSTILE)
    for path in ("", "picture", f"{row['id']}/", f"{row['id']}/edit", "policies", "connect"):
        for table in cloud.rows.values():
            for each in table.values():
                each["name"] = HOSTILE
        page = visit(path)
        if path in ("", "picture", f"{row['id']}/"):
            row["status_reason"] = HOSTILE + path
            with page.expect_response(re.compile("/live")):
                pass
        page.wait_for_load_state("networkidle")
        assert page.locator("img[src=x]").count() == 0


def test_from_nothing_to_a_connection_and_back(visit, cloud):
    """By keyboard and mouse: errors beside fields, a key made, a change foreseen, an end."""
    with_a_tunnel(cloud)
    page = visit("connect")
    page.fill("#id_name", "to-b")
    page.select_option("#id_router", index=0)
    page.locator('input[name="subnets"]').first.check()
    page.fill("#id_peer_address", "no address!")
    page.fill("#id_peer_cidrs", "10.8.0.0/24")
    page.click("[data-sh-generate]")
    key = page.input_value("#id_psk")
    assert re.fullmatch(r"[A-Za-z2-9]{45}", key)
    page.click('[data-sh="submit"]')
    expect(page.locator("#error_peer_address")).to_contain_text("IP address or a host name")
    assert page.evaluate("document.activeElement.id") == "id_peer_address"
    assert page.input_value("#id_psk") == key
    page.keyboard.press("Control+A")
    page.keyboard.type("198.51.100.9")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))
    assert key not in page.content()
    (made,) = (
        each for each in cloud.rows["vpn/ipsec-site-connections"].values() if each["psk"] == key
    )

    page.get_by_role("link", name="Change", exact=True).click()
    page.locator("summary", has_text="More").click()
    page.fill("#id_mtu", "1300")
    page.click('[data-sh="submit"]')
    expect(page.locator('[data-sh="outlook"]')).to_contain_text("segment sizes")
    expect(page.locator('[data-sh="submit"]')).to_be_hidden()
    assert made["mtu"] == 0
    page.get_by_role("button", name="Do it").click()
    page.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))
    assert made["mtu"] == 1300

    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete the connection").click()
    page.wait_for_url(re.compile(r"/swanherd/$"))
    expect(page.locator(".sh-list")).not_to_contain_text("to-b")


def test_an_error_takes_the_focus_to_what_is_seen(visit, cloud):
    """Also where the form's first subnets are another router's, which are hidden."""
    for _ in range(2):
        with_a_tunnel(cloud)
    page = visit("connect")
    for field, text in (("#id_name", "x"), ("#id_peer_address", "192.0.2.1")):
        page.fill(field, text)
    page.fill("#id_peer_cidrs", "10.8.0.0/24")
    page.click("[data-sh-generate]")
    for index in range(2):
        page.select_option("#id_router", index=index)
        page.click('[data-sh="submit"]')
        expect(page.locator("#error_subnets")).to_contain_text("Choose at least one")
        expect(page.locator("[data-sh-choice]:not([hidden]) input:focus")).to_have_count(1)


def test_a_configuration_is_downloaded(visit, cloud):
    """With the key only if the box is ticked."""
    page = visit(f"{with_a_tunnel(cloud)['id']}/")
    page.select_option("#sh-device", "strongswan")
    for ticked in (False, True):
        page.set_checked('input[name="with_key"]', ticked)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        with open(download.value.path()) as file:
            assert (KEY in file.read()) is ticked


def test_the_browsers_language_is_spoken(visit, cloud):
    """A German browser gets German, from the server and from what the script brings."""
    row = with_a_tunnel(cloud)
    page = visit(f"{row['id']}/", locale="de-DE")
    expect(page.locator(".sh-state")).to_contain_text("Aktiv")
    row["status"] = "DOWN"
    expect(page.locator(".sh-state")).to_contain_text("Getrennt")
    expect(page.locator(".sh-children")).to_contain_text("25 Pakete")


def test_filters_and_policies_are_sent(visit, cloud):
    """Horizon's Angular swallows forms that don't say where they go."""
    with_a_tunnel(cloud)
    page = visit()
    page.fill("#sh-filter", "nobody")
    page.keyboard.press("Enter")
    expect(page.locator(".sh-list")).to_contain_text("No connection matches.")
    page = visit("policies/ipsec/new")
    page.fill("#id_name", "strong")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile("/policies$"))
    assert "strong" in {row["name"] for row in cloud.rows["vpn/ipsecpolicies"].values()}
