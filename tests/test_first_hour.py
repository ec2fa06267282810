"""What a newcomer sees: help in sections, the nearest word, what was learned, a first look, a log."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_cli import QUICK as QUICK_TRAINING
from test_cli import jetad

from jetad.demo import sample
from jetad.runs import Run
from jetad_cli.commands.cmd_train import QUICK
from jetad_cli.main import COMMANDS, SECTIONS
from jetad_cli.progress import TimeLeft, TrainingProgress


def test_help_shows_all_commands_in_sections_of_80_columns(capsys):
    assert jetad("--help") == 0
    text = capsys.readouterr().out
    assert [line[:-1] for line in text.splitlines() if line in {f"{title}:" for title in SECTIONS}] == [
        *SECTIONS
    ]
    for commands in SECTIONS.values():
        for name, words in commands.items():
            assert re.search(rf"^  {name} +{re.escape(words)}$", text, re.MULTILINE), name
    assert max(map(len, text.splitlines())) <= 80


def test_help_comes_at_once():
    def seconds() -> float:
        start = time.process_time(), time.monotonic()
        subprocess.run([sys.executable, "-m", "jetad", "--help"], check=True, capture_output=True)
        return time.monotonic() - start[1]

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", ["train", "score"])
def test_all_options_are_in_sections(name, capsys):
    import importlib

    command = importlib.import_module(f"jetad_cli.commands.{COMMANDS[name]}").command
    known = {option for parameter in command.params for option in parameter.opts}
    named = [option for options in command.sections.values() for option in options]
    assert set(named) <= known
    assert len(named) == len(set(named))
    assert jetad(name, "--help") == 0
    text = capsys.readouterr().out
    for title in command.sections:
        assert f"\n{title}:\n" in text
    assert len(re.findall(r"^  (?:-\w, )?--\w", text, re.MULTILINE)) == len(command.params) + 1 - (
        name == "score"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scoer"], "did you mean 'score'?"),
        (["train", "--backgruond", "a.h5"], "No such option '--backgruond'; did you mean '--background'?"),
        (["roc", "--rato"], "No such option '--rato'; did you mean '--ratio'?"),
        (["train", "qcd.h5"], "unexpected extra argument (qcd.h5); did you mean --background qcd.h5?"),
        (["calibrate", "-b", "a.h5", "--", "b.h5"], "did you mean --background b.h5?"),
    ],
)
def test_the_nearest_word(words, message, capsys):
    assert jetad(*words) == 2
    assert message in capsys.readouterr().err


def test_a_first_look(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--background", sample("qcd_train.h5"), "--quick", "-o", "look"]
    start = time.process_time()
    assert jetad("--log", "log.txt", *words) == 0
    assert time.process_time() - start < 30
    err = capsys.readouterr().err
    assert "--quick: a first look, with data.max_jets=3000" in err
    assert re.search(r"^trained in \d+ s on 2400 jets, held-out energy [\d.]+$", err, re.MULTILINE)
    assert "background efficiencies down to 0.0033" in err
    assert "this was --quick" in err
    assert err.splitlines()[-1] == "next: jetad score FILE --run look"
    assert Run.open("look").provenance["n_jets"]["train"] == 2400
    log = Path("log.txt").read_text().splitlines()
    stamped = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING) "
    assert [line for line in log if not re.match(stamped, line)] == []
    assert any("next: jetad score FILE" in line for line in log)


def test_the_settings_of_a_first_look_give_way(tmp_path, capsys):
    assert jetad("train", "--quick", "-m", "nae", "--set", "training.epochs=2", "--print-config") == 0
    text = capsys.readouterr().out
    assert "max_jets: 3000" in text
    assert "epochs: 2" in text
    assert "steps: 60" in text
    assert len(QUICK) == 3


def test_a_training_without_quick_does_not_say_so(folder, capsys):
    assert jetad("train", "-m", "knn", "--background", "qcd.h5", "-o", "k") == 0
    err = capsys.readouterr().err
    assert "trained in" in err
    assert "--quick" not in err


def test_a_training_says_in_which_of_its_phases_it_is(folder, capsys):
    assert jetad("train", "-m", "nae", "--background", "qcd.h5", "-o", "n", *QUICK_TRAINING) == 0
    err = capsys.readouterr().err
    phases = re.findall(r"^phase (\d) of 4, (\w+): (\w+) \d+/", err, re.MULTILINE)
    assert [k for k, _, _ in phases] == ["1", "2", "3", "4"]
    assert [member for _, member, _ in phases] == ["image", "image", "features", "features"]
    assert re.search(r"energy: jets -?[\d.e-]+, negatives -?[\d.e-]+", err)
    assert re.search(r"^phase 3 of 4, features: reconstruction .*\d:\d\d left\)", err, re.MULTILINE)


def test_time_left_is_that_of_all_phases():
    amounts = {
        ("image", "fit"): 2.0,
        ("image", "walk"): 100.0,
        ("features", "fit"): 4.0,
        ("features", "walk"): 50.0,
    }
    left = TimeLeft(amounts)
    assert left.after(("image", "fit"), 0.25, 10.0) == ""  # the pace is not known yet
    # 5 s for a half: 2.5 s are left, 4 passes of the other member take 20 s, the walks are not known
    assert left.after(("image", "fit"), 0.75, 15.0) == "more than 0:22 left"
    assert left.after(("image", "walk"), 0.1, 20.0) == ""
    # 10 s for 20 steps: 70 + 50 are left, and 4 passes at 5 s each
    assert left.after(("image", "walk"), 0.3, 30.0) == "1:20 left"
    assert (
        left.after(("features", "fit"), 0.25, 70.0) == "0:40 left"
    )  # before its own pace is known: that of the image
    # a member that is slower than the other: its own pace counts from now on
    assert left.after(("features", "fit"), 0.5, 80.0) == "0:45 left"
    assert left.after(("features", "walk"), 1.0, 99.0) == "0:00 left"
    assert left.after(("other", "walk"), 0.5, 99.0) == ""
    long = TimeLeft({("image", "walk"): 10.0})
    long.after(("image", "walk"), 0.1, 0.0)
    assert long.after(("image", "walk"), 0.2, 600.0) == "1:20:00 left"


def test_the_bar_fits_80_columns_and_says_what_is_left(monkeypatch):
    """The longest line that a training shows; its notes stand below."""
    shown = []

    class Bar:
        def add_task(self, label, total, note, left):
            self.label, self.total = label, total

        def update(self, task, completed, note, left):
            shown.append(f"{self.label} {'━' * 8} {completed}/{self.total} {left}")

        remove_task = start = stop = lambda *_: None

    monkeypatch.setattr("jetad_cli.progress._bar", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    plan = {(m, p): 10.0 for m in ("image", "features") for p in ("reconstruction", "contrastive")}
    clock = iter(range(0, 10_000_000, 1000))
    monkeypatch.setattr("jetad_cli.progress.time.monotonic", lambda: float(next(clock)))
    with TrainingProgress(plan) as progress:
        for member, phase in plan:
            for step in (1, 500, 2000):
                progress(
                    member, phase, step, 2000, {"energy_pos": 0.123456, "energy_neg": 1.0, "val_energy": 2}
                )
    assert shown[1].startswith("phase 1 of 4, image: reconstruction ━━━━━━━━ 500/2000 more than ")
    assert shown[-1].endswith("2000/2000 0:00 left")
    assert max(map(len, shown)) <= 80
    with TrainingProgress(plan, one_of_many=True) as progress:
        for step in (1, 2000):
            progress("image", "reconstruction", step, 2000, {})
    assert shown[-1].endswith(" left in this training")


@pytest.mark.parametrize("method", ["gmm", "nae"])
def test_quiet_leaves_the_result_alone(folder, capsys, method):
    words = ["train", "-m", method, "--background", "qcd.h5", "-o", "q"]
    words += QUICK_TRAINING if method == "nae" else []
    assert jetad("-q", "--log", "log.txt", *words) == 0
    shown = capsys.readouterr()
    assert shown.out == "q\n"
    assert [line for line in shown.err.splitlines() if not line.startswith("warning: ")] == []
    assert "next: jetad score FILE --run q" in Path("log.txt").read_text()
    assert jetad("-q", "score", "qcd.h5", "--run", "q") == 0
    shown = capsys.readouterr()
    assert re.search(r"\d+ of \d+ jets scored", shown.out)
    assert [line for line in shown.err.splitlines() if not line.startswith("warning: ")] == []
