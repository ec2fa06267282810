"""Settings of a cluster: what a job asks for, from profiles in a YAML file and the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from ..errors import ConfigError, without_secrets
from ..files.yamlfiles import YAMLError, load_yaml, read_text
from ..registry import closest_first
from ..settings import Strict
from .systems import BATCH_SYSTEMS

__all__ = ["Options", "clock", "load_again", "load_options", "shipped_profiles", "site_file"]

_MEGABYTES = {"": 1, "M": 1, "G": 1024, "T": 1024**2}
_MINUTES = {"": 1, "m": 1, "h": 60, "d": 1440}


def _memory(value: Any) -> Any:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([MGT]?)B?", str(value).strip(), re.IGNORECASE)
    if not match:
        raise ValueError("write memory as 4G, 4000M or 4000 (megabytes)")
    return max(1, round(float(match[1]) * _MEGABYTES[match[2].upper()]))


def _time(value: Any) -> Any:
    text = str(value).strip()
    if match := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([mhd]?)", text):
        return max(1, round(float(match[1]) * _MINUTES[match[2]]))
    if match := re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9}):(\d\d):(\d\d)", text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return max(1, days * 1440 + hours * 60 + minutes + (seconds > 0))
    raise ValueError("write time as 90m, 8h, 2d, 8:00:00 or 1-12:00:00")


def _lines(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def clock(minutes: int) -> str:
    """Minutes as schedulers write them.

    Example:
        >>> clock(1530)
        '1-01:30:00'
    """
    days, rest = divmod(minutes, 1440)
    return f"{f'{days}-' if days else ''}{rest // 60:02d}:{rest % 60:02d}:00"


if TYPE_CHECKING:
    System = str
else:
    System = Literal[tuple(BATCH_SYSTEMS)]
Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]


class Options(Strict):
    """What a job asks of any scheduler; those of one scheduler stand beside it."""

    scheduler: System | None = None
    cpus: int | None = Field(None, ge=1, description="CPU cores of a task; by default as its command uses")
    gpus: int = Field(0, ge=0, description="GPUs of a task")
    memory: Annotated[int, BeforeValidator(_memory)] | None = Field(None, description="4G; MB in the record")
    time: Annotated[int, BeforeValidator(_time)] | None = Field(None, description="8h; minutes in the record")
    account: str | None = Field(None, description="who pays: account or accounting group")
    setup: Lines = Field((), description="lines that the script runs before jetad")
    command: str | None = Field(None, description="what jetad is on a node; by default this Python's")
    launcher: str | None = Field(None, description="words before that, such as srun or torchrun")
    container: str | None = Field(None, description="image that apptainer runs it in")
    container_options: Lines = Field((), description="of apptainer exec, such as --bind /eos")
    max_running: int | None = Field(None, ge=1, description="tasks of the job that run at a time")
    attempts: int = Field(6, ge=1, description="times that submitting is tried while the scheduler is busy")
    extra: Lines = Field((), description="further lines for the head of the script or the submit file")

    def usual_time(self) -> int | None:
        """Minutes that a task may take where no time is given, or ``None`` where that is not known."""
        return None


OptionsT = TypeVar("OptionsT", bound=Options)


def site_file() -> Path:
    """``$XDG_CONFIG_HOME/jetad/site.yaml``, by default below ``~/.config``."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "jetad" / "site.yaml"


def shipped_profiles() -> dict[str, str]:
    """The examples that come with jetad: name and YAML text."""
    folder = resources.files(__package__) / "sites"
    names = sorted(p.name for p in folder.iterdir() if p.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): folder.joinpath(name).read_text() for name in names}


def load_options(
    kind: type[OptionsT],
    scheduler: str,
    *,
    profile: str | None = None,
    file: Path | None = None,
    settings: Iterable[str] = (),
    given: Mapping[str, Any] | None = None,
) -> tuple[OptionsT, str]:
    """The options of a job and where they come from.

    Arguments:
        kind: Options of the scheduler.
        scheduler: Its name.
        profile: Name of a profile; by default the first in the file that is of this scheduler.
        file: Instead of the user's own ``site.yaml``.
        settings: ``KEY=VALUE`` that override the profile; a list takes several ``KEY=VALUE``.
        given: The same, as values.

    Raises:
        ConfigError: for an unknown profile or setting, with the nearest valid name, or a wrong value.
    """
    path = file or site_file()
    if file is not None and not path.exists():
        raise ConfigError(f"--site {file}: no such file")
    try:
        profiles = _parse(read_text(path), str(path)) if path.exists() else {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read ({reason})") from error
    if not all(isinstance(value, dict) for value in profiles.values()):
        raise ConfigError(f"{path}: expected profiles 'name: {{setting: value}}'; see docs/batch.md")
    shipped = {name: _parse(text, name) for name, text in shipped_profiles().items()}
    if profile is None:
        own = (n for n in profiles if _merged(n, profiles, shipped, path).get("scheduler") == scheduler)
        profile = next(own, None)
    values: dict[str, Any] = {}
    source = "no site settings"
    if profile is not None:
        if profile not in profiles and profile not in shipped:
            known = closest_first(profile, {*profiles, *shipped})
            raise ConfigError(f"--profile {profile}: no such profile in {path}; known: {', '.join(known)}")
        values = _merged(profile, profiles, shipped, path)
        source = f"profile '{profile}' of {path if profile in profiles else 'jetad'}"
    if values.get("scheduler", scheduler) != scheduler:
        raise ConfigError(f"{source}: is for {values['scheduler']}, not for {scheduler}")
    checked(kind, values, source)
    values |= _overrides(kind, settings, given or {})
    return checked(kind, values, source), source


def load_again(
    kind: type[OptionsT],
    record: Mapping[str, Any],
    *,
    settings: Iterable[str] = (),
    given: Mapping[str, Any] | None = None,
) -> tuple[OptionsT, dict[str, Any]]:
    """The options of a job from its record, and checked values of those that are given now.

    Raises:
        ConfigError: as ``load_options``.
    """
    overrides = _overrides(kind, settings, given or {})
    options = checked(kind, {**record, **overrides}, "job.json")
    return options, {key: getattr(options, key) for key in overrides}


def _overrides(kind: type[Options], settings: Iterable[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the command line, each checked under the name that it has there."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--option {setting}: expected KEY=VALUE, for example qos=short")
        checked(kind, {key: value}, f"--option {key}")
        several = kind.model_fields[key].default == ()
        values[key] = [*values.get(key, []), value] if several else value
    for key, value in given.items():
        if key not in kind.model_fields:
            raise ConfigError(f"--{key}: there is no such thing for this scheduler")
        checked(kind, {key: value}, f"--{key}")
        values[key] = value
    return values


def checked(kind: type[OptionsT], values: Mapping[str, Any], source: str) -> OptionsT:
    """Options from values.

    Raises:
        ConfigError: for the first thing wrong with them; a password would be in scripts that others can read.
    """
    try:
        options = kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            near = closest_first(name, kind.model_fields)[0]
            raise ConfigError(f"{source}: unknown setting '{name}'; did you mean '{near}'?") from None
        message = str(first["msg"]).removeprefix("Value error, ")
        found = f"{message[0].lower()}{message[1:]}, found {first['input']!r}"
        where = source if source.startswith("--") else f"{source}: {name}"
        raise ConfigError(f"{where}: {found}") from None
    for name in options.model_fields_set:
        value = getattr(options, name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and text != without_secrets(text):
                where = source if source.startswith("--") else f"{source}: {name}"
                raise ConfigError(
                    f"{where}: {text} holds a password or key, which everybody who can read the script of "
                    "the job would see; let the job find it otherwise (a token file, a variable)"
                )
    return options


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        value = load_yaml(text, as_text=True)
    except YAMLError as error:
        raise ConfigError(f"{source}: is not valid YAML ({' '.join(str(error).split())})") from error
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: expected 'name: value', found {type(value).__name__}")
    return value


def _merged(
    name: str,
    profiles: Mapping[str, Any],
    shipped: Mapping[str, Any],
    path: Path,
    above: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A profile laid over its ``base``: another one of the file, or a shipped one."""
    own = profiles.get(name) if name not in above else None
    values = dict(own if own is not None else shipped.get(name, {}))
    base = values.pop("base", None)
    if base is None:
        return values
    if len(above) > 20:
        raise ConfigError(f"{path}: profile '{name}': more than 20 profiles are laid over each other")
    if base in above or not (base in shipped or (base in profiles and base != name)):
        known = closest_first(base, {*profiles, *shipped} - {name})
        raise ConfigError(f"{path}: profile '{name}': unknown base '{base}'; known: {', '.join(known)}")
    return {**_merged(base, profiles, shipped, path, (*above, name)), **values}
