"""The panel of neutron-vpnaas-dashboard as it comes from PyPI: each form and each table of it."""

import dataclasses

import pytest
from playwright.sync_api import expect

VPN = "/project/vpn/"
TABLES = {
    "ipsecsiteconnectionstable": "ipsec_site_connections",
    "vpnservicestable": "vpn_services",
    "endpointgroupstable": "endpoint_groups",
    "ikepoliciestable": "ike_policies",
    "ipsecpoliciestable": "ipsec_policies",
}
STRONG = {"auth_algorithm": "sha256", "encryption_algorithm": "aes-256", "pfs": "group14"}
KEY = "as-typed-into-the-stock-panel-4T"
# Horizon hides selects behind lists of its own: their values are set as its script sets them.
SET = """([form, name, value]) => {
  const fields = form.querySelectorAll(`[name="${name}"]`);
  if (!fields.length) { throw new Error('no field ' + name); }
  fields.forEach(field => {
    if (field.type === 'checkbox') {
      field.checked = [].concat(value).includes(field.value) || value === true;
    } else { field.value = value; }
    field.dispatchEvent(new Event('change', {bubbles: true}));
  });
}"""

SHOW = """table => {
  const pane = $('#' + table).closest('.tab-pane').attr('id');
  $(`a[href="#${pane}"]`).tab('show');
}"""


@dataclasses.dataclass
class Stock:
    """The stock panel in front of a user of a cloud."""

    visitor: object

    def submit(self, path, expected, **values):
        """Fill a form in and send it; return what Horizon says then."""
        page = self.visitor.open(VPN + path)
        form = page.locator("form:has(input[type=submit].btn-primary)").last
        for name, value in values.items():
            page.evaluate(SET, [form.element_handle(), name, value])
        form.locator("input[type=submit].btn-primary").click()
        said = page.locator(".messages .alert, .toast, .alert-success, .alert-danger").first
        expect(said).to_contain_text(expected, timeout=30000)

    def table(self, name):
        """Show a table."""
        page = self.visitor.open(VPN)
        page.evaluate(SHOW, name)
        return page.locator(f"#{name}")

    def delete(self, table, row_id, kind):
        """Delete a row by its own button and Horizon's question."""
        page = self.table(table).page
        button = page.locator(f"#{table}__row_{row_id}__action_{kind}")
        button.evaluate("each => each.click()")
        page.locator(".modal .btn-danger").click()
        expect(page.locator(f"#{table}__row__{row_id}")).to_have_count(0, timeout=30000)


@pytest.fixture(scope="module")
def stocks(log_in, places):
    """The panel on both clouds."""
    return [Stock(log_in(region)) for region in "ab"]


def newest(network, kind):
    """Return the id of what was made last with a name of this test."""
    found = [each for each in getattr(network, f"vpn_{kind}")() if each.name == "stock"]
    return found[0].id


def prepare(stock, place, there):
    """Make all that a connection needs, one form after the other."""
    stock.submit("addikepolicy", "Added IKE policy", name="stock", ike_version="v2", **STRONG)
    stock.submit("addipsecpolicy", "Added IPsec policy", name="stock", **STRONG)
    stock.submit(
        "addvpnservice", "Added VPN service", name="stock", router_id=place.site.router_id
    )
    local = {"type": "subnet", "subnets": [place.site.subnets[place.cidr]]}
    stock.submit("addendpointgroup", "Added endpoint group", name="stock-local", **local)
    peer = {"type": "cidr", "cidrs": there.cidr}
    stock.submit("addendpointgroup", "Added endpoint group", name="stock-peer", **peer)


def groups_of(network):
    """Return the ids of the local and the peer's endpoint group."""
    named = {each.name: each.id for each in network.vpn_endpoint_groups()}
    return named["stock-local"], named["stock-peer"]


def connect(stock, place, peer_address):
    """Make the connection."""
    network = place.client.network
    local, peer = groups_of(network)
    stock.submit(
        "addipsecsiteconnection",
        "Added IPsec site connection",
        name="stock",
        vpnservice_id=newest(network, "services"),
        ikepolicy_id=newest(network, "ike_policies"),
        ipsecpolicy_id=newest(network, "ipsec_policies"),
        local_ep_group_id=local,
        peer_ep_group_id=peer,
        peer_address=peer_address,
        peer_id=peer_address,
        psk=KEY,
    )


def address_of(place):
    """Return the public address of the service."""
    network = place.client.network
    return network.get_vpn_service(newest(network, "services")).external_v4_ip


def test_its_forms_make_a_tunnel(stocks, places):
    """Six forms on each side, and the workloads reach each other."""
    for stock, place, there in zip(stocks, places, reversed(places), strict=True):
        prepare(stock, place, there)
    for stock, place, there in zip(stocks, places, reversed(places), strict=True):
        connect(stock, place, address_of(there))
    here, there = places
    here.workload.wait_for_ping(there.workload.ipv4, 60)
    for stock in stocks:
        row = stock.table("ipsecsiteconnectionstable").locator("tbody tr", has_text="stock")
        expect(row).to_contain_text("Active", timeout=60000)


def test_its_tables_show_all(stocks):
    """A row in each of the five tables, and a page of each."""
    (stock, _) = stocks
    for table in TABLES:
        row = stock.table(table).locator("tbody tr", has_text="stock").first
        link = row.locator("a[href*='/project/vpn/']").first.get_attribute("href")
        page = stock.visitor.open(link)
        expect(page.locator("dl").first).to_contain_text("stock")


def test_its_edits_reach_the_tunnel(stocks, places):
    """A connection, its service and groups, and (by its address) a policy in use."""
    stock, here, there = stocks[0], *places
    network = here.client.network
    connection = newest(network, "ipsec_site_connections")
    _local, peer = groups_of(network)
    stock.submit(f"update_ipsecsiteconnection/{connection}/", "successfully updated", mtu="1300")
    stock.submit(
        f"update_vpnservice/{newest(network, 'services')}/",
        "successfully updated",
        description="x",
    )
    stock.submit(f"update_endpointgroup/{peer}/", "successfully updated", description="x")
    for kind in ("ike", "ipsec"):
        policy = newest(network, f"{kind}_policies")
        stock.submit(
            f"update_{kind}policy/{policy}/", "successfully updated", lifetime_value="7200"
        )
        assert getattr(network, f"get_vpn_{kind}_policy")(policy).lifetime["value"] == 7200
    assert network.get_vpn_ipsec_site_connection(connection).mtu == 1300
    here.workload.wait_for_ping(there.workload.ipv4, 60)


def test_what_it_cannot_do(stocks, places):
    """What docs/dashboard.md says of it, so that it stays true."""
    stock, here = stocks[0], places[0]
    network = here.client.network
    connection = newest(network, "ipsec_site_connections")
    page = stock.visitor.open(f"{VPN}update_ipsecsiteconnection/{connection}/")
    assert KEY in page.content(), "the key is in the page's source"
    policy = newest(network, "ike_policies")
    row = stock.table("ikepoliciestable").locator(f"#ikepoliciestable__row__{policy}")
    expect(row).to_have_count(1)
    expect(row.locator("a:has-text('Edit')")).to_have_count(0)


def test_its_deletes(stocks, places):
    """From the connection to the policies, nothing is left."""
    for stock, place in zip(stocks, places, strict=True):
        network = place.client.network
        delete = stock.delete
        connection = newest(network, "ipsec_site_connections")
        delete("ipsecsiteconnectionstable", connection, "deleteipsecsiteconnection")
        for group in groups_of(network):
            delete("endpointgroupstable", group, "deleteendpointgroup")
        delete("vpnservicestable", newest(network, "services"), "deletevpnservice")
        delete("ikepoliciestable", newest(network, "ike_policies"), "deleteikepolicy")
        delete("ipsecpoliciestable", newest(network, "ipsec_policies"), "deleteipsecpolicy")
        assert [each for each in network.vpn_services() if each.name == "stock"] == []
