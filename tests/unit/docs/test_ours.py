"""Programs and options of ours are named as they are, in the documents and in release notes."""

import argparse
import configparser
import re

import pytest

from swanherd.cmd import swanherdctl
from swanherd.config import agent, server
from swanherd_operator import cmd
from swanherd_operator.controller import main
from tests.unit.docs.test_documents import DOCUMENTS, ROOT, blocks, prose

TEXTS = [*DOCUMENTS, *sorted((ROOT / "releasenotes" / "notes").glob("*.yaml"))]
PARSERS = {
    "swanherdctl": swanherdctl._parser(),
    "swanherd-enable": cmd._parser(),
    "swanherd-operator": main.parser(),
}
_TYPED = re.compile(rf"(?<![\w/.-])({'|'.join(PARSERS)})((?: [^\s|#;)]+)*)")
_CODE = re.compile(r"``?([^`]+)``?")
_OPTION = re.compile(r"`\[(\w+)\] ([a-z_]+)")


def typed(path):
    """Yield each call of a program of ours: what is in code, whole or begun."""
    text = path.read_text()
    code = [*_CODE.findall(prose(path)), *blocks(text, "console", "text")]
    for each in code:
        for program, words in _TYPED.findall(each.replace("\\\n", " ")):
            yield program, words.split()


def unknown(parser, words):
    """Return a word that the program doesn't take there; None if it takes all."""
    options = set(parser._option_string_actions)
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("-"):
            if name != "-" and name not in options:
                return word
        elif below := [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]:
            if word not in below[0].choices:
                return word
            parser = below[0].choices[word]
            options |= set(parser._option_string_actions)
    return None


@pytest.mark.parametrize("program", PARSERS)
def test_every_call_of_ours_is_one(program):
    """Commands, and options where they stand; a call in prose may be but begun."""
    calls = [(p.name, w) for p in TEXTS for name, w in typed(p) if name == program]
    assert [(name, words) for name, words in calls if unknown(PARSERS[program], words)] == []
    assert program == "swanherd-operator" or len(calls) > 5


def known():
    found = {}
    for group, options in (*agent.list_opts(), *server.list_opts()):
        found.setdefault(group, set()).update(option.name for option in options)
    return found


def test_every_option_of_ours_is_one():
    """In prose as `[section] option`, and in the files' contents that are shown."""
    found = known()
    ours = found.keys() - {"DEFAULT"}
    named = {
        (path.name, *each)
        for path in TEXTS
        for each in _OPTION.findall(path.read_text())
        if each[0] in ours
    }
    for path in DOCUMENTS:
        for block in blocks(path.read_text(), "ini"):
            shown = configparser.RawConfigParser(strict=False, default_section="")
            shown.read_string(block)
            for section in ours & set(shown.sections()):
                named |= {(path.name, section, option) for option in shown.options(section)}
    assert len(named) > 10
    assert [each for each in sorted(named) if each[2] not in found[each[1]]] == []
