"""YAML, read at the door: what can't be read is refused at its line, whatever it is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML libraries silently take the last one.

    libyaml's own loader is faster, and ends the process on what is nested too deeply.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return a node's value; one that Python can't have is wrong at its place."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # a date, a number
            raise yaml.constructor.ConstructorError(
                None, None, str(error).partition(";")[0], node.start_mark
            ) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Take over what `<<` names, each key once: merges of merges don't multiply."""
        super().flatten_mapping(node)
        last = {_identity(key): (key, value) for key, value in node.value}
        node.value = list(last.values())


def documents(text: str) -> list[Any]:
    """Return the documents in a text that aren't empty; yaml.YAMLError or RecursionError."""
    return [found for found in yaml.load_all(text, Loader=_Loader) if found is not None]


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a scalar", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r:.60} is there twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    mapping: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return mapping


def _identity(key: yaml.Node) -> Hashable:
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
