"""Shells complete commands, options, values and files with the script that jetad prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from test_cli import jetad

SETUP = {
    "bash": 'eval "$(jetad completion bash)"',
    "zsh": 'autoload -U compinit; compinit -u -D; eval "$(jetad completion zsh)"',
    "fish": "jetad completion fish > jetad.fish; source jetad.fish",
}
# how a shell is asked what it would complete the words {} with
ASK = {
    "bash": 'COMP_WORDS=({}); COMP_CWORD={n}; _jetad_completion jetad; printf "%s\\n" "${COMPREPLY[@]}"',
    "fish": "complete -C '{}'",
}


@pytest.fixture
def shell(tmp_path):
    """Run a script in a shell that finds our ``jetad``, in a folder that holds ``qcd.h5``."""
    (tmp_path / "qcd.h5").touch()
    program = tmp_path / "bin" / "jetad"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jetad "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def run(name: str, script: str) -> str:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        environment = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
        result = subprocess.run(
            [name, "-c", f"{SETUP[name]}\n{script}"],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout

    return run


@pytest.mark.parametrize("name", ["bash", "fish"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], {"train"}),
        (["train", "--device", "c"], {"cpu", "cuda"}),
    ],
)
def test_words_are_completed(shell, name, words, expected):
    line = " ".join(["jetad", *words])
    script = ASK[name].replace("{}", line).replace("{n}", str(len(words)))
    found = {text.split("\t")[0] for text in shell(name, script).split("\n") if text}
    assert found == expected


@pytest.mark.parametrize(
    "words", [["score", "q"], ["train", "--background", "q"], ["plot", "images", "top=q"]]
)
def test_names_of_files_are_left_to_the_shell(monkeypatch, capfd, words):
    monkeypatch.setenv("_JETAD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["jetad", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    assert jetad() == 0
    assert capfd.readouterr().out.strip() == f"file,{words[-1]}"


def test_fish_completes_files(shell):
    assert "qcd.h5" in shell("fish", "complete -C 'jetad score q'")


def test_zsh_takes_the_script(shell):
    assert shell("zsh", "echo $_comps[jetad]").strip() == "_jetad_completion"


def test_another_shell_is_a_usage_error(capsys):
    assert jetad("completion", "tcsh") == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
