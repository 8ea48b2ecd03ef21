import re
import sys

import pytest
from django.urls import reverse
from openstack_dashboard.test import helpers

from lab.layout import ROOT
from tests.dashboard.cloud import OnFakeNeutron, with_a_tunnel

sys.path.insert(0, str(ROOT / "dashboard"))
import messages

LANGUAGES = [path.name for path in messages.CATALOGUES.iterdir() if path.is_dir()]
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?s")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_translated(language):
    """What the sources mark is what the catalogue has, translated and certain."""
    kept = messages.catalogue(language)
    assert {message.id for message in kept if message.id} == set(messages.texts())
    for message in kept:
        if message.id:
            assert all(messages.strings(message)), message.id
            assert not message.fuzzy, message.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_those_of_the_original(language):
    """Each of them, as often; and as many parts where commas part them."""
    for message in messages.catalogue(language):
        original = message.id if isinstance(message.id, str) else message.id[1]
        if not original:
            continue
        for said in messages.strings(message):
            expected = sorted(PLACEHOLDER.findall(original))
            assert sorted(PLACEHOLDER.findall(said)) == expected, original
        if original == "yes,no":
            assert message.string.count(",") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_django_reads_is_what_translators_write(language):
    """`make messages` compiles it."""
    place = messages.CATALOGUES / language / "LC_MESSAGES" / "django.mo"
    assert place.read_bytes() == messages.compiled(messages.catalogue(language))


class German(OnFakeNeutron, helpers.TestCase):
    """The panel as a browser that asks for German sees it."""

    def page(self, name, *arguments):
        address = reverse(f"horizon:project:swanherd:{name}", args=arguments)
        return self.client.get(address, headers={"Accept-Language": "de-DE,de;q=0.9"})

    def test_each_page_is_german(self):
        """List, picture, connection, forms and policies."""
        shown = with_a_tunnel(self.cloud)
        for name, arguments, word in (
            ("index", (), "Einen Standort verbinden"),
            ("index", (), "1 Verbindung"),
            ("picture", (), "Getrennt"),
            ("connection", (shown["id"],), "Verfahren"),
            ("connection", (shown["id"],), "25 Pakete"),
            ("connect", (), "Netze der anderen Seite"),
            ("edit", (shown["id"],), "Leer: Der Schlüssel bleibt, wie er ist."),
            ("policies", (), "IKE-Richtlinien"),
        ):
            self.assertContains(self.page(name, *arguments), word)

    def test_what_the_script_asks_for_is_german_too(self):
        """Live answers and the errors of forms."""
        shown = with_a_tunnel(self.cloud)
        live = self.page("connection_live", shown["id"]).json()
        assert live["status"] == "Aktiv"
        assert "25 Pakete" in live["html"]
