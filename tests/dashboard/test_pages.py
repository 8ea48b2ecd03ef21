import io
import logging
import re
import uuid
import zipfile
from unittest import mock

import horizon
from django.core.cache import cache
from django.urls import reverse
from openstack_dashboard import api
from openstack_dashboard.test import helpers

from swanherd_client import peers
from swanherd_dashboard.core import rows
from tests.dashboard.cloud import KEY, OnFakeNeutron, Reply, refusal, with_a_tunnel

INDEX = reverse("horizon:project:swanherd:index")
PICTURE = reverse("horizon:project:swanherd:picture")
LIVE = reverse("horizon:project:swanherd:live")
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def url(name, connection):
    return reverse(f"horizon:project:swanherd:{name}", args=(connection["id"],))


class Pages(OnFakeNeutron, helpers.TestCase):
    """The panel's pages on a Neutron in memory."""


class ListOfConnections(Pages):
    def test_the_list_tells_status_cause_and_hint(self):
        """A connection that is down shows why, and what to do, in Neutron's own words."""
        sentence = "The peer doesn't answer. Check peer_address."
        with_a_tunnel(self.cloud, status="DOWN", status_code="peer_silent", status_reason=sentence)
        page = self.client.get(INDEX)
        self.assertContains(page, "to-office")
        self.assertContains(page, sentence, html=True)
        self.assertContains(page, "Down")
        self.assertContains(page, "203.0.113.7")
        self.assertContains(page, ">site</a>")

    def test_the_stock_panels_menu_entry_is_replaced(self):
        """One entry named VPN is left: ours."""
        page = self.client.get(INDEX).content.decode()
        assert "/project/swanherd/" in page
        assert 'href="/project/vpn/"' not in page

    def test_pages_of_fifty_and_a_filter(self):
        """A thousand connections are twenty pages; each word of the filter must match."""
        first = with_a_tunnel(self.cloud)
        for n in range(999):
            row = {**first, "id": str(uuid.uuid4()), "name": f"branch-{n:03}"}
            self.cloud.rows["vpn/ipsec-site-connections"][row["id"]] = row
        page = self.client.get(INDEX, {"page": "2"}).content.decode()
        assert "Page 2 of 20" in page
        assert "branch-050" in page
        assert "branch-049" not in page
        page = self.client.get(INDEX, {"q": "office active"}).content.decode()
        assert "1 connection" in page
        assert "to-office" in page
        assert self.client.get(INDEX, {"page": "99999999999"}).status_code == 200

    def test_neutron_that_fails_is_said(self):
        """The page comes all the same, with Neutron's sentence."""
        self.cloud.refusals["GET", "vpn/ipsec-site-connections"] = refusal(500, "It burns.")
        page = self.client.get(INDEX)
        self.assertContains(page, "It burns.")

    def test_a_live_request_asks_neutron_once(self):
        """The list's live update is one request, for the page's connections alone."""
        shown, other = with_a_tunnel(self.cloud), with_a_tunnel(self.cloud)
        answer = self.client.get(LIVE, {"id": [shown["id"], "no-uuid"]})
        (told,) = answer.json()["connections"]
        assert shown["id"] == told["id"]
        assert told["tone"] == "up"
        assert told["in"] == "1.5 kB"
        assert other["id"] not in answer.content.decode()
        assert len(self.cloud.asked) == 1
        assert self.client.get(LIVE).json() == {"connections": []}

    def test_a_live_request_says_when_neutron_fails(self):
        """The script can tell a Neutron that is away from a connection that is gone."""
        shown = with_a_tunnel(self.cloud)
        self.cloud.refusals["GET", "vpn/ipsec-site-connections"] = refusal(503, "away")
        assert self.client.get(LIVE, {"id": shown["id"]}).status_code == 502
        gone = url("connection_live", {"id": uuid.uuid4()})
        assert self.client.get(gone).status_code == 404

    def test_an_ended_session_answers_401(self):
        """The script then reloads the page, which leads to the login."""
        shown = with_a_tunnel(self.cloud)
        self.cloud.refusals["GET", "vpn/ipsec-site-connections"] = Reply(401, {})
        ajax = {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}
        assert self.client.get(LIVE, {"id": shown["id"]}, **ajax).status_code == 401


class Picture(Pages):
    def test_routers_subnets_connections_and_peers_are_drawn(self):
        """Each leads to its page, coloured by the status."""
        shown = with_a_tunnel(self.cloud)
        page = self.client.get(PICTURE).content.decode()
        for text in ("10.1.0.0/24", "203.0.113.7", "10.9.0.0/24", "198.51.100.23", ">site<"):
            assert text in page
        assert url("connection", shown) in page
        assert 'class="sh-line sh-up"' in page

    def test_a_project_without_a_vpn_and_one_whose_neutron_fails(self):
        """Both have a page."""
        self.assertContains(self.client.get(PICTURE), "no connection yet")
        self.cloud.refusals["GET", "vpn/vpnservices"] = refusal(500, "It burns.")
        self.assertContains(self.client.get(PICTURE), "It burns.")


class OneConnection(Pages):
    def test_the_page_shows_what_was_negotiated(self):
        """Algorithms, lifetimes, counters, networks, policies and events are on the page."""
        shown = with_a_tunnel(self.cloud)
        page = self.client.get(url("connection", shown)).content.decode()
        for text in (
            "IKEv2, aes-256, sha256, PRF sha256, group19",
            "1.5 kB",
            "25 packets",
            "10.9.0.0/24",
        ):
            assert text in page
        for text in ("10.1.0.0/24", "net-a", "198.51.100.23", "revision 7", "1398 bytes"):
            assert text in page

    def test_a_change_that_is_not_applied_is_said(self):
        """Wanted and applied revision differ: the page says so."""
        shown = with_a_tunnel(self.cloud, revision_wanted=8, status="PENDING_UPDATE")
        page = self.client.get(url("connection", shown)).content.decode()
        assert "revision 8 is wanted, 7 is applied" in page

    def test_a_server_without_details_is_shown_too(self):
        """A Neutron that tells nothing but the API's own attributes gives a page."""
        shown = with_a_tunnel(self.cloud)
        for name in ("details", "events", "effective_mtu", "revision_wanted", "status_since"):
            del shown[name]
        page = self.client.get(url("connection", shown)).content.decode()
        assert "There is no tunnel now." in page

    def test_a_service_with_a_subnet_is_shown(self):
        """The old way to say the networks: the service's subnet and peer_cidrs."""
        shown = with_a_tunnel(self.cloud, local_ep_group_id=None, peer_ep_group_id=None)
        (subnet,) = self.cloud.rows["subnets"].values()
        (service,) = self.cloud.rows["vpn/vpnservices"].values()
        service["subnet_id"], shown["peer_cidrs"] = subnet["id"], ["10.77.0.0/24"]
        page = self.client.get(url("connection", shown)).content.decode()
        assert "10.1.0.0/24" in page
        assert "10.77.0.0/24" in page

    def test_live_is_one_request_and_html_of_the_tunnel(self):
        """A connection's live update costs one request to Neutron."""
        shown = with_a_tunnel(self.cloud)
        told = self.client.get(url("connection_live", shown)).json()
        assert told["status"] == "Active"
        assert told["traffic"]["pairs"] == {"10.1.0.0/24 10.9.0.0/24": [1500, 2500, 15, 25]}
        assert "25 packets" in told["html"]
        assert len(self.cloud.asked) == 1

    def test_delete(self):
        """Deleting is a POST; a GET changes nothing."""
        shown = with_a_tunnel(self.cloud)
        assert self.client.get(url("delete", shown)).status_code == 405
        answer = self.client.post(url("delete", shown))
        self.assertRedirectsNoFollow(answer, INDEX)
        assert self.cloud.rows["vpn/ipsec-site-connections"] == {}


class PeerConfiguration(Pages):
    def test_the_key_comes_only_when_asked_for(self):
        """Without the box ticked, Neutron isn't even asked for the key."""
        shown = with_a_tunnel(self.cloud)
        answer = self.client.post(url("peer", shown), {"device": "strongswan"})
        assert "attachment" in answer["Content-Disposition"]
        assert "198.51.100.23" in answer.content.decode()
        assert KEY not in answer.content.decode()
        assert not [a for a in self.cloud.asked if ("fields", "psk") in a[2]["params"]]
        answer = self.client.post(url("peer", shown), {"device": "strongswan", "with_key": "on"})
        assert KEY in answer.content.decode()
        assert answer["Cache-Control"] == "no-store"

    def test_what_nobody_has_tried_is_called_untested(self):
        """Where the device is chosen, and in the list of how far each is proven."""
        page = self.client.get(url("connection", with_a_tunnel(self.cloud))).content.decode()
        for key, device in peers.DEVICES.items():
            (option,) = re.findall(f'<option value="{key}">(.*?)</option>', page)
            untested = device.proof == "untested"
            assert option == device.title + (" – untested" if untested else "")
            assert f"<li>{device.title}: {device.proof}</li>" in page

    def test_several_files_are_a_zip(self):
        """libreswan has two files."""
        shown = with_a_tunnel(self.cloud)
        answer = self.client.post(url("peer", shown), {"device": "libreswan", "with_key": "on"})
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert len(names) == 2

    def test_what_a_device_cannot_say_is_said(self):
        """The reason stands on the connection's page."""
        shown = with_a_tunnel(self.cloud, peer_address="0.0.0.0")
        answer = self.client.post(url("peer", shown), {"device": "openstack"}, follow=True)
        self.assertContains(answer, "peer_address")
        answer = self.client.post(url("peer", shown), {"device": "toaster"}, follow=True)
        self.assertContains(answer, "Choose what the other side is.")


class Security(Pages):
    def test_no_page_has_the_key(self):
        """No page, no live answer and no session holds the key, and Neutron isn't asked for it."""
        shown = with_a_tunnel(self.cloud)
        with self.assertLogs(level=logging.DEBUG) as logs:
            logging.getLogger().debug("at least one line")
            for address in (INDEX, url("connection", shown), url("connection_live", shown)):
                assert KEY not in self.client.get(address).content.decode()
            live = self.client.get(LIVE, {"id": shown["id"]})
            self.client.post(url("peer", shown), {"device": "strongswan", "with_key": "on"})
        assert KEY not in live.content.decode()
        assert KEY not in "\n".join(logs.output)
        assert KEY not in repr(dict(self.client.session.items()))
        assert "psk" not in rows.SHOWN + rows.LISTED + rows.LIVE

    def test_hostile_names_are_text(self):
        """Whatever a name, a reason or an event says, no markup comes of it."""
        event = {"at": None, "status": HOSTILE, "code": None, "text": HOSTILE}
        shown = with_a_tunnel(
            self.cloud,
            **dict.fromkeys(("name", "description", "status_reason", "peer_id"), HOSTILE),
            events=[event],
            status=HOSTILE,
        )
        for path in ("routers", "subnets", "vpn/ikepolicies", "vpn/ipsecpolicies"):
            for row in self.cloud.rows[path].values():
                row["name"] = HOSTILE
        addresses = INDEX, PICTURE, INDEX + "?q=%3Cscript%3Ealert", url("connection", shown)
        for address in addresses:
            page = self.client.get(address).content.decode()
            assert "<script>alert" not in page
            assert "<img src=x" not in page
        told = self.client.get(url("connection_live", shown)).json()
        assert "<script" not in told["html"]
        assert "<img" not in told["html"]

    def test_another_projects_connection_is_not_there(self):
        """Even a token that may read it (an administrator's) doesn't show it here."""
        other = with_a_tunnel(self.cloud, project_id="another", name="theirs")
        self.assertNotContains(self.client.get(INDEX), "theirs")
        answer = self.client.get(url("connection", other), follow=True)
        self.assertNotContains(answer, "theirs")
        assert self.client.get(url("connection_live", other)).status_code == 404
        assert self.client.get(LIVE, {"id": other["id"]}).json()["connections"] == []
        posted = {"device": "strongswan", "with_key": "on"}
        answer = self.client.post(url("peer", other), posted, follow=True)
        self.assertNotContains(answer, KEY)
        self.client.post(url("delete", other))
        assert other["id"] in self.cloud.rows["vpn/ipsec-site-connections"]

    def test_what_changes_or_tells_needs_the_token_against_forgery(self):
        """Without Django's CSRF token nothing is deleted and nothing is told."""
        shown = with_a_tunnel(self.cloud)
        client = self.client_class(enforce_csrf_checks=True)
        client.cookies = self.client.cookies
        for name in ("delete", "peer"):
            posted = {"device": "strongswan", "with_key": "on"}
            assert client.post(url(name, shown), posted).status_code == 403
        assert shown["id"] in self.cloud.rows["vpn/ipsec-site-connections"]


class MenuEntry(Pages):
    def test_neutron_is_asked_once_whether_it_has_vpns(self):
        """A live request of every few seconds doesn't ask for the extensions again."""
        asked = []

        def extensions(request, alias):
            asked.append(alias)
            return True

        cache.clear()
        self.addCleanup(cache.clear)
        entry = horizon.get_dashboard("project").get_panel("swanherd")
        with mock.patch.object(api.neutron, "is_extension_supported", extensions):
            seen = [entry.allowed({"request": self.request}) for _ in range(3)]
        assert seen == [True] * 3
        assert asked == ["vpnaas"]
