"""What is said about a configuration that is wrong: one sentence, with the nearest valid name."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ValidationError

from .schema import NETWORK_KINDS, PREPROCESSING_KINDS, SAMPLER_KINDS, RunConfig

__all__ = ["explain", "one_line", "setting_paths", "shortened"]


def explain(error: ValidationError, prefix: str = "") -> str:
    """The first problem of a validation error in one sentence."""
    first = error.errors()[0]
    # pydantic names the chosen variant of a union in the path; the user never wrote it
    variants: dict[str, Collection[str]] = {
        "preprocessing": PREPROCESSING_KINDS, "network": NETWORK_KINDS, "sampler": SAMPLER_KINDS,
    }  # fmt: skip
    parts = [*filter(None, [prefix]), *(str(part) for part in first["loc"])]
    where = ".".join(
        p for before, p in zip(["", *parts], parts, strict=False) if p not in variants.get(before, ())
    )
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        paths = setting_paths()
        close = [path for path in paths if path.rsplit(".", 1)[-1] == name]
        if not close:
            near = difflib.get_close_matches(
                name, [path.rsplit(".", 1)[-1] for path in paths], n=1, cutoff=0.5
            )
            close = [path for path in paths if near and path.rsplit(".", 1)[-1] == near[0]]
        if close:
            return f"unknown setting '{where}'; did you mean '{close[0]}'?"
        sections = ", ".join(dict.fromkeys(path.partition(".")[0] for path in paths))
        return (
            f"unknown setting '{where}'; there are {sections}, and 'jetad train --print-config' "
            "shows what is in them"
        )
    message = str(first["msg"]).removeprefix("Value error, ")
    plain = first["type"] != "value_error" and not isinstance(first["input"], dict)
    found = f", found {shortened(repr(first['input']))}" if plain else ""
    return f"{where + ': ' if where else ''}{message[0].lower()}{message[1:]}{found}"


def shortened(text: str) -> str:
    """A value as a message shows it: its first hundred characters."""
    return text if len(text) <= 100 else f"{text[:100]}..."


def setting_paths() -> list[str]:
    """Dotted names of all settings as ``--set`` takes them, sections of members without the member."""
    paths: dict[str, None] = {}

    def visit(annotation: Any, prefix: str) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, field in annotation.model_fields.items():
                below = "" if name == "members" else f"{prefix}{name}."
                if name != "members":
                    paths[f"{prefix}{name}"] = None
                visit(field.annotation, below)
        elif isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
            for argument in typing.get_args(annotation):
                visit(argument, prefix)

    visit(RunConfig, "")
    return list(paths)


def one_line(error: Exception) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error).split())
