"""What all settings have in common: checked, unchangeable, and of several kinds where a table has several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Strict", "one_of"]


class Strict(BaseModel):
    """Values that are checked when they are given, and then stay; an unknown name is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def one_of(kinds: Iterable[type[BaseModel]], tag: str) -> Any:
    """The type of a field that holds settings of one of several kinds.

    Arguments:
        kinds: The kinds, each with a literal value of its own in the field ``tag``.
        tag: The field that tells them apart.
    """
    return Annotated[Union[tuple(kinds)], Field(discriminator=tag)]  # noqa: UP007 (of a list)
