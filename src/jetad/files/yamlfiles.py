"""The one place where YAML is read: nothing in it can take long, whatever somebody has written.

A few lines with aliases can stand for billions of values, or contain themselves. So the values are counted
with every alias written out, before any is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from . import require_plain

__all__ = ["YAMLError", "load_yaml", "read_text"]

YAMLError = yaml.YAMLError

_MAX_CHARACTERS = 1 << 18  # more take seconds
_MAX_VALUES = 20_000
_MAX_DEPTH = 50


class _TooMuch(yaml.YAMLError):
    pass


class _Bounded:
    """Counts the values and how deep they are nested; goes in front of a loader."""

    def __init__(self, text: str) -> None:
        super().__init__(text)  # type: ignore[call-arg]
        self._depth = 0
        self._measures: dict[int, tuple[int, int]] = {}  # of each finished node: values, and how deep

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[attr-defined]
        where = f"line {event.start_mark.line + 1}"
        if self._depth == _MAX_DEPTH:
            raise _TooMuch(f"{where} is nested more than {_MAX_DEPTH} deep")
        self._depth += 1
        node = super().compose_node(parent, index)  # type: ignore[misc]
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._measures[id(node)] = self._measured(node)
        elif id(node) not in self._measures:
            raise _TooMuch(f"{where} contains itself through *{event.anchor}")
        n, depth = self._measures[id(node)]
        if n > _MAX_VALUES:
            raise _TooMuch(f"{where} holds more than {_MAX_VALUES} values, with aliases (*) written out")
        if self._depth + depth > _MAX_DEPTH:
            raise _TooMuch(f"{where} is nested more than {_MAX_DEPTH} deep")
        return node

    def _measured(self, node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        else:
            parts = node.value if isinstance(node, yaml.SequenceNode) else []
        measures = [self._measures[id(part)] for part in parts]
        return 1 + sum(n for n, _ in measures), 1 + max((depth for _, depth in measures), default=0)


class _Loader(_Bounded, yaml.SafeLoader):
    pass


class _TextLoader(_Bounded, yaml.BaseLoader):
    pass


def load_yaml(text: str, *, as_text: bool = False) -> Any:
    """The value of a YAML document.

    Arguments:
        text: The document.
        as_text: Leave all values text: YAML would read 8:00:00 as the number 28800.

    Raises:
        YAMLError: if it is not valid, or too long, too deep, or contains itself.

    Example:
        >>> load_yaml("{a: &x [1, 2], b: *x}")
        {'a': [1, 2], 'b': [1, 2]}
    """
    if len(text) > _MAX_CHARACTERS:
        raise _TooMuch(f"it has more than {_MAX_CHARACTERS} characters")
    try:
        return yaml.load(text, Loader=_TextLoader if as_text else _Loader)
    except (ValueError, OverflowError) as error:  # a date or number that there is none of
        raise _TooMuch(str(error).partition(";")[0]) from error


def read_text(path: str | Path) -> str:
    """The text of a file for ``load_yaml``, no more than that takes.

    Raises:
        InputError: for a pipe or device, which may never end.
        OSError, UnicodeDecodeError: as when any file is read.
    """
    require_plain(path)
    with open(path, encoding="utf-8") as file:
        return file.read(_MAX_CHARACTERS + 1)
