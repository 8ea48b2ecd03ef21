import contextlib
import re
import time

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lab.processes import wait_for
from tests.dashboard.barriers import grave
from tests.dashboard.clouds.conftest import wanted


def fill(page, place, peer_address, peer_cidr, name, key=None):
    """Fill the guided form in; return the key."""
    page.fill("#id_name", name)
    page.select_option("#id_router", place.site.router_id)
    page.check(f'input[name="subnets"][value="{place.site.subnets[place.cidr]}"]')
    page.fill("#id_peer_address", peer_address)
    page.fill("#id_peer_cidrs", peer_cidr)
    if key is None:
        page.click("[data-sh-generate]")
    else:
        page.fill("#id_psk", key)
    return page.input_value("#id_psk")


def connection_of(place, page):
    """Return the API's row of the connection whose page is shown."""
    found = re.search(r"/swanherd/([0-9a-f-]{36})/", page.url)
    return place.client.network.get(f"/vpn/ipsec-site-connections/{found[1]}").json()[
        "ipsec_site_connection"
    ]


@contextlib.contextmanager
def much_to_see(here, there, page, mine):
    """Have a chart, and a second site that doesn't answer."""
    same = ("vpnservice_id", "ikepolicy_id", "ipsecpolicy_id", "local_ep_group_id")
    network = here.client.network
    group = network.create_vpn_endpoint_group(name="depot", type="cidr", endpoints=["10.9.0.0/24"])
    depot = network.create_vpn_ipsec_site_connection(
        name="to-depot",
        psk="a-long-and-random-key-9W",
        peer_address="203.0.113.250",
        peer_id="203.0.113.250",
        peer_ep_group_id=group.id,
        **{name: mine[name] for name in same},
    )

    def seen():
        here.workload.wait_for_ping(there.workload.ipv4, 30)
        return page.locator("[data-sh-drawn] polyline").count() > 0

    wait_for(seen, 240, "the chart, for which the gateway counts twice")
    yield
    network.delete_vpn_ipsec_site_connection(depot.id)
    network.delete_vpn_endpoint_group(group.id)


def test_from_the_login_to_traffic(log_in, places, horizons_log):
    """Two users connect their clouds by the guided form, and their workloads reach each other.

    The key that one has generated is typed by the other; no page, address or log shows it.
    """
    here, there = places
    one, other = log_in("a"), log_in("b")
    page = one.open("/project/swanherd/connect")
    # The other side's address isn't known yet: a first form tells what is wrong, beside the field.
    key = fill(page, here, "not an address!", there.cidr, "to-b")
    assert re.fullmatch(r"[A-Za-z2-9]{45}", key)
    page.click('[data-sh="submit"]')
    expect(page.locator("#error_peer_address")).to_contain_text("IP address or a host name")
    assert page.input_value("#id_psk") == key, "the key that was generated is still there"
    one.picture("form")
    # The peer is whoever proves its identity, until the other cloud's address is known.
    page.fill("#id_peer_address", "0.0.0.0")
    page.fill("#id_peer_id", "branch.example.org")
    page.click('[data-sh="submit"]')
    page.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))
    mine = connection_of(here, page)
    service = here.client.network.get_vpn_service(mine["vpnservice_id"])

    remote = other.open("/project/swanherd/connect")
    fill(remote, there, service.external_v4_ip, here.cidr, "to-a", key)
    remote.fill("#id_local_id", "branch.example.org")
    remote.click('[data-sh="submit"]')
    remote.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))

    for each in (page, remote):
        expect(each.locator(".sh-state .sh-badge.sh-up")).to_be_visible(timeout=60000)
    here.workload.wait_for_ping(there.workload.ipv4, 30)
    for each in (page, remote):
        expect(each.locator(".sh-children")).to_contain_text(here.cidr)
        assert key not in each.content()
        assert key not in each.url
    with much_to_see(here, there, page, mine) if wanted() else contextlib.nullcontext():
        one.picture("connection")
        one.open("/project/swanherd/")
        expect(one.page.locator("tbody")).to_contain_text("to-b")
        one.picture("list")
        page.set_viewport_size({"width": 1280, "height": 600})
        one.open("/project/swanherd/picture")
        one.picture("picture")
    assert key not in one.page.content()
    assert key not in horizons_log.read_text(), "Horizon's log at the level debug"


def test_a_change_is_seen_without_a_reload(log_in, places, record):
    """What the API says of a status stands on the open page within 3 s."""
    here, _ = places
    visitor = log_in("a")
    page = visitor.open("/project/swanherd/")
    page.locator("tbody a", has_text="to-b").click()
    page.wait_for_selector(".sh-badge.sh-up")
    row = connection_of(here, page)
    update = here.client.network.update_vpn_ipsec_site_connection

    def down():
        return connection_of(here, page)["status"] == "DOWN"

    waits = []
    for _ in range(5):
        update(row["id"], admin_state_up=False)
        wait_for(down, 30, "DOWN in the API", every=0.05)
        began = time.monotonic()
        expect(page.locator(".sh-state .sh-badge.sh-down")).to_be_visible(timeout=10000)
        waits.append(round(time.monotonic() - began, 2))
        expect(page.locator(".sh-reason")).to_contain_text("administratively down")
        update(row["id"], admin_state_up=True)
        expect(page.locator(".sh-state .sh-badge.sh-up")).to_be_visible(timeout=60000)
    record("seconds until a page shows a change", waits)
    assert max(waits) <= 3


def test_a_hidden_page_asks_nothing(log_in, places):
    """No request while the tab is hidden; one at once when it is seen again."""
    visitor = log_in("a")
    page = visitor.page
    page.locator("tbody a", has_text="to-b").click()
    page.wait_for_selector(".sh-state")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    hide = "value => { Object.defineProperty(document, 'hidden', {value, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    with page.expect_request(re.compile("/live")):
        pass
    page.evaluate(hide, True)
    page.wait_for_timeout(500)  # what was under way
    asked.clear()
    page.wait_for_timeout(8000)  # longer than two intervals
    assert asked == []
    with page.expect_request(re.compile("/live"), timeout=1000):
        page.evaluate(hide, False)


def test_a_live_tunnel_is_changed(log_in, places):
    """What a change does is said first; then it is done, and the tunnel carries traffic."""
    here, there = places
    visitor = log_in("a")
    page = visitor.page
    page.locator("tbody a", has_text="to-b").click()
    page.wait_for_selector(".sh-state .sh-up")
    page.get_by_role("link", name="Change", exact=True).click()
    page.wait_for_selector("#id_mtu", state="attached")
    page.locator("summary", has_text="More").click()
    page.fill("#id_mtu", "1300")
    page.click('[data-sh="submit"]')
    expect(page.locator('[data-sh="outlook"] li')).to_contain_text("segment sizes")
    page.get_by_role("button", name="Do it").click()
    page.wait_for_url(re.compile(r"/swanherd/[0-9a-f-]{36}/$"))
    assert connection_of(here, page)["mtu"] == 1300
    expect(page.locator(".sh-state .sh-badge.sh-up")).to_be_visible(timeout=60000)
    here.workload.wait_for_ping(there.workload.ipv4, 30)


def test_nothing_serious_stands_in_the_way_of_anybody(log_in, places):
    """axe finds no serious barrier in what is ours of the pages, wide and narrow."""
    visitor = log_in("a")
    page = visitor.page
    page.locator("tbody a", has_text="to-b").click()
    page.wait_for_selector(".sh-children")
    one = page.url.removeprefix(visitor.address)
    found = []
    for path in ("/project/swanherd/", "/project/swanherd/picture", one, f"{one}edit"):
        for width in (1280, 420):
            page.set_viewport_size({"width": width, "height": 900})
            visitor.open(path)
            seen = Axe().run(page, context=".sh-panel").response
            found += [(path, width, *each) for each in grave(seen)]
    assert found == []


def test_the_peers_configuration_is_downloaded(log_in, places):
    """With the key only if the box is ticked."""
    visitor = log_in("b")
    page = visitor.page
    page.locator("tbody a", has_text="to-a").click()
    page.wait_for_selector("#sh-device")
    page.select_option("#sh-device", "strongswan")
    texts = []
    for ticked in (False, True):
        page.set_checked('input[name="with_key"]', ticked)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        with open(download.value.path()) as file:
            texts.append(file.read())
    without, with_key = texts
    assert "remote_addrs" in without
    assert len(with_key) > len(without) or with_key != without


def test_all_is_deleted(log_in, places):
    """The last connection takes what the dashboard made for it along."""
    for region, place in zip("ab", places, strict=True):
        page = log_in(region).page
        page.locator("tbody a", has_text="to-").first.click()
        page.locator("summary", has_text="Delete").click()
        page.get_by_role("button", name="Delete the connection").click()
        expect(page.locator(".sh-list tbody")).to_contain_text("no connection yet", timeout=30000)
        network = place.client.network
        assert list(network.vpn_ipsec_site_connections()) == []
        assert list(network.vpn_endpoint_groups()) == []
        assert list(network.vpn_services()) == []
