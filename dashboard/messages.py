"""The dashboard's words in other languages: `make messages` brings the catalogues up to date.

Texts are found by what marks them, in Python and in Django's templates. Messages that are new
stand in the .po file without a translation, and the tests fail until they have one.
"""

from __future__ import annotations

import ast
import io
import pathlib
import re
from collections.abc import Iterator

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from django.utils.translation.template import templatize

SOURCE = pathlib.Path(__file__).resolve().parent / "src" / "swanherd_dashboard"
CATALOGUES = SOURCE / "locale"
Text = str | tuple[str, str]  # a plural has two

_MARKS = frozenset({"_", "gettext", "gettext_lazy", "gettext_noop"})
_STRING = r"""((?:u?"(?:[^"\\]|\\.)*")|(?:u?'(?:[^'\\]|\\.)*'))"""
_IN_TEMPLATE = re.compile(rf"\b_?(n?gettext|_)\(\s*{_STRING}(?:\s*,\s*{_STRING})?")


def texts() -> list[Text]:
    """Return what is marked for translation, in the order of the files."""
    found: dict[Text, None] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        found.update(dict.fromkeys(_of_python(path.read_text())))
    for path in sorted(SOURCE.rglob("*.html")):
        found.update(dict.fromkeys(_of_template(path.read_text())))
    return list(found)


def _of_python(text: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        first = node.args[0] if node.args else None
        if node.func.id in _MARKS and isinstance(first, ast.Constant):
            yield str(first.value)


def _of_template(text: str) -> Iterator[Text]:
    for kind, one, many in _IN_TEMPLATE.findall(templatize(text)):
        singular = ast.literal_eval(one)
        yield (singular, ast.literal_eval(many)) if kind == "ngettext" else singular


def catalogue(language: str) -> Catalog:
    """Return a language's catalogue as it is kept."""
    with (CATALOGUES / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        return pofile.read_po(file, locale=language)


def compiled(kept: Catalog) -> bytes:
    """Return what Django reads."""
    buffer = io.BytesIO()
    mofile.write_mo(buffer, kept)
    return buffer.getvalue()


def renewed(kept: Catalog) -> Catalog:
    """Return a catalogue of what the sources have now, with the translations that there are."""
    new = Catalog(
        locale=kept.locale,
        project="swanherd-dashboard",
        version="all",
        fuzzy=False,
        header_comment="# The dashboard's words. `make messages` brings them up to date.",
        creation_date=kept.creation_date,
        revision_date=kept.revision_date,
    )
    for text in texts():
        singular = text if isinstance(text, str) else text[0]
        there = kept.get(singular)
        new.add(text, there.string if there and there.id == text else "")
    return new


def main() -> None:
    """Bring each language's files up to date."""
    for place in CATALOGUES.glob("*/LC_MESSAGES"):
        new = renewed(catalogue(place.parent.name))
        with (place / "django.po").open("wb") as file:
            pofile.write_po(file, new, width=99, no_location=True, omit_header=False)
        (place / "django.mo").write_bytes(compiled(new))
        missing = sum(not all(strings(message)) for message in new if message.id)
        print(f"{place.parent.name}: {len(new)} messages, {missing} without a translation")


def strings(message: object) -> tuple[str, ...]:
    """Return a message's translation, a plural's several."""
    string = message.string  # type: ignore[attr-defined]
    return (string,) if isinstance(string, str) else tuple(string)


if __name__ == "__main__":
    main()
