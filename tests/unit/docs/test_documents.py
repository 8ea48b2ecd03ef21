"""What the documents say of the code is so."""

import ast
import re
import shlex
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs import generate

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PATH = re.compile(r"`((?:src|tests|lab|docs|releasenotes|bench)/[\w./-]*)`")
_MAKE = re.compile(r"\bmake ([a-z-]+[a-z])\b")
_OPENSTACK = re.compile(r"\bopenstack (?:--os-cloud \S+ )?((?:vpn|network agent) [^\n|)]*)")


def blocks(text, *languages):
    return [body for language, body in _FENCE.findall(text) if language in languages]


def prose(path):
    return _FENCE.sub("", path.read_text())


def anchors(path):
    """As GitHub makes them of headings: lower case, hyphens for spaces, no other signs."""
    found = set()
    for heading in _HEADING.findall(prose(path)):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found


def test_generated_tables_are_what_the_code_says():
    """`docs/generate.py` has nothing to write."""
    assert generate.stale(write=False) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_relative_link_resolves(path):
    """The file is there, and the heading in it."""
    for link in _LINK.findall(prose(path)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_path_of_the_repository_that_is_named_exists(path):
    """A file that moves takes its mention with it."""
    missing = [name for name in _PATH.findall(path.read_text()) if not (ROOT / name).exists()]
    assert missing == []


def test_every_make_target_that_is_named_exists():
    """In code and in prose."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        quoted = "\n".join(re.findall(r"`([^`\n]+)`", prose(path)))
        code = "\n".join(blocks(path.read_text(), "console"))
        named = set(_MAKE.findall(f"{quoted}\n{code}"))
        assert named <= targets, f"{path.name}: {named - targets}"


def test_every_client_command_is_real():
    """The client's own parsers take each `openstack vpn …` and `openstack network agent …`."""
    pytest.importorskip("openstackclient")
    commands = {
        point.name.replace("_", " "): point
        for group in ("openstack.network.v2", "openstack.network.v2.vpnaas")
        for point in metadata.entry_points(group=group)
    }
    seen = 0
    for path in DOCUMENTS:
        code = "\n".join(blocks(path.read_text(), "console")).replace("\\\n", " ")
        for typed in _OPENSTACK.findall(code):
            words = shlex.split(typed)
            name = next(
                name
                for length in range(len(words), 0, -1)
                if (name := " ".join(words[:length])) in commands
            )
            parser = commands[name].load()(None, None).get_parser(name)
            parser.parse_args(words[len(name.split()) :])
            seen += 1
    assert seen > 20


def test_every_python_example_parses():
    """No example has a typing error."""
    for path in DOCUMENTS:
        for block in blocks(path.read_text(), "python"):
            ast.parse(block)


def test_every_status_code_that_is_named_exists():
    """The user's guide doesn't name a code that nobody says."""
    known = set(re.findall(r"^\| `([a-z_]+)` \|", generate.codes(), re.MULTILINE))
    guide = (ROOT / "docs" / "user-guide.md").read_text()
    rows = guide.partition("## Troubleshooting")[2].splitlines()
    named = {
        code
        for row in rows
        if row.startswith("| `")
        for code in re.findall(r"`(\w+)`", row[: row.index(" | ")])
    }
    assert named
    assert named <= known


def test_every_picture_is_well_formed():
    """And says in words what it shows."""
    pictures = list((ROOT / "docs" / "images").glob("*.svg"))
    assert pictures
    for picture in pictures:
        root = ElementTree.parse(picture).getroot()
        kinds = {child.tag.rpartition("}")[2] for child in root}
        assert {"title", "desc"} <= kinds
