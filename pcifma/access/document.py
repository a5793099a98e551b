"""YAML as the project takes it: the safe loader, no aliases, no tags, no key twice, bounded depth; mistakes as `file:line: what`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from pcifma.errors import FormatError

DEPTH_LIMIT = 16  # the deepest grammar (a fixture's on_read) has 8 levels
PLAIN_LIMIT = 2000  # characters; YAML makes numbers of plain values, and huge numbers take for ever

# libyaml's parser where PyYAML was built with it: some ten times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(data: bytes, file: str) -> object:
    """The document in *data*: dicts (with keys as YAML made them), lists and scalars. *file* stands in messages. FormatError."""
    try:
        _check_shape(yaml.parse(data, Loader=_Loader), file)
        node = yaml.compose(data, Loader=_Loader)
        if node is None:
            return None
        _check_keys(node, file)
        return yaml.SafeLoader("").construct_document(node)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        raise FormatError(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {_one_line(err.problem or err.context)}") from None
    except yaml.YAMLError as err:
        raise FormatError(f"{file}:1: not YAML: {_one_line(err)}") from None
    except (ValueError, OverflowError) as err:  # a scalar that looks like a date or number and is none
        raise FormatError(f"{file}:1: a value is no such date or number: {_one_line(err)}: quote it") from None


def _line(part: yaml.Event | yaml.Node) -> int:
    return part.start_mark.line + 1 if part.start_mark else 1


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]


def _check_shape(events: Iterable[yaml.Event], file: str) -> None:
    depth = 0
    for event in events:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise FormatError(f"{file}:{line}: anchors and aliases are not taken: write the value out")
        if tag := getattr(event, "tag", None):  # PyYAML trips over some values with a tag
            raise FormatError(f"{file}:{line}: tags are not taken: leave {tag} out")
        if isinstance(event, yaml.ScalarEvent) and not event.style and len(event.value) > PLAIN_LIMIT:
            raise FormatError(f"{file}:{line}: a value of more than {PLAIN_LIMIT} characters: quote it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_LIMIT:
            raise FormatError(f"{file}:{line}: nested deeper than {DEPTH_LIMIT} levels")


def _check_keys(node: yaml.Node, file: str) -> None:
    todo = [node]
    while todo:
        here = todo.pop()
        if isinstance(here, yaml.SequenceNode):
            todo.extend(here.value)
        elif isinstance(here, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in here.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise FormatError(f"{file}:{_line(key)}: key {key.value!r} is there twice")
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
                todo.append(value)
