"""Names in files cannot steer a terminal; JSON, files and other programs get them as they are."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_cli import jetad

import jetad_cli
from jetad_cli.terminal import AboveBars, echo, live, one_line, printable

EVIL = "a\x1b]0;owned\x07\x1b[2J\r\u202eb\x9b31m\x7f"
WRITTEN = "a\\u001b]0;owned\\u0007\\u001b[2J\\u000d\\u202eb\\u009b31m\\u007f"
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File(f"{EVIL}.h5", "w") as file:
        file["images"] = np.random.default_rng(1).random((20, 40, 40)).astype("f4")
        file[EVIL] = np.arange(20.0)
        file["line\nbreak"] = np.arange(20.0)
    return tmp_path


def on_terminal(*words: str) -> str:
    """All that a command writes to a terminal that is its standard output and error."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "jetad", *words], stdout=follower, stderr=follower)
    os.close(follower)
    found = b""
    try:
        while block := os.read(leader, 4096):
            found += block
    except OSError:  # the end of a terminal
        pass
    os.close(leader)
    process.wait()
    return found.decode().replace("\r\n", "\n")


def test_tables_and_messages_on_a_terminal(folder):
    shown = on_terminal("inspect", f"{EVIL}.h5")
    assert not CONTROL.search(shown)
    assert shown.count(WRITTEN) >= 2  # file and column
    assert "line\\nbreak" in shown
    shown = on_terminal("-vv", "inspect", f"{EVIL}.none")
    assert "Traceback" in shown
    assert f"{WRITTEN}.none: no file matches" in shown
    assert not CONTROL.search(shown)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["inspect", f"{EVIL}.none"], f"{WRITTEN}.none"),
        (["inspect", "a\nb.none"], "a\\nb.none: no such file"),
        (["inspect", f"{EVIL}.h5", "--reader", EVIL], WRITTEN),
        (["inspect", f"{EVIL}.h5", f"--{EVIL}"], "no such option"),
        (["inspect", f"{EVIL}.h5", "--units", EVIL], "owned"),
        ([EVIL], "owned\\u0007"),
        (["train", "-b", f"{EVIL}.h5", "--set", f"{EVIL}=1"], WRITTEN),
        (["inspect", f"{EVIL}.h5", f"{EVIL}.h5"], f"{WRITTEN}.h5: named twice"),  # a warning
    ],
)
def test_messages(folder, capsys, words, expected):
    jetad(*words)
    said = capsys.readouterr().err
    assert expected.lower() in said.lower()
    assert not CONTROL.search(said)


def strings(value):
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [value] if not isinstance(value, list) else [s for part in value for s in strings(part)]


def test_json_and_pipes_get_names_as_they_are(folder, capsys):
    assert jetad("inspect", f"{EVIL}.h5", "--json") == 0
    assert EVIL in set(strings(json.loads(capsys.readouterr().out)))
    assert jetad("inspect", f"{EVIL}.h5") == 0
    assert EVIL[:10] in capsys.readouterr().out  # click takes colours out


def test_every_message_goes_through_one_place():
    for path in Path(jetad_cli.__file__).parent.rglob("*.py"):
        if path.name != "terminal.py":
            assert not re.search(r"click\.s?echo\(|sys\.std(out|err)\.write\(", path.read_text()), path


def test_what_is_escaped():
    assert printable("Größe 日本 é\t\n") == "Größe 日本 é\t\n"
    assert printable(EVIL) == WRITTEN
    assert printable(os.fsdecode(b"\xff.h5")) == "\\udcff.h5"
    assert one_line("a\nb") == "a\\nb"
    assert json.loads(f'"{WRITTEN}"') == EVIL


def test_what_is_told_stands_above_a_bar(monkeypatch):
    happened = []

    class Bar:
        def start(self) -> None:
            happened.append("bar")

        def stop(self) -> None:
            happened.append("no bar")

    monkeypatch.setattr("click.echo", lambda message, **_: happened.append(message))
    log = logging.LogRecord("jetad", logging.INFO, "", 0, "a warning", (), None)
    with live(Bar()):
        echo("a result")
        handler = AboveBars(io.StringIO())
        handler.emit(log)
    echo("the end")
    assert happened == ["bar", "no bar", "a result", "bar", "no bar", "bar", "no bar", "the end"]
    assert handler.stream.getvalue() == "a warning\n"
