"""Every command of the README, of docs/ and of the help texts runs, page by page, on small files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import importlib.util
import io
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from documented import PAGES, PLACEHOLDER, ROOT, Documented, documented, words_of
from test_cli import jetad

from jetad.demo import sample
from jetad.errors import JetadError
from jetad.jets import Jets
from jetad.models import METHODS
from jetad.readers import read
from jetad.report.page import find_browser
from jetad.studies.ranking import DetectorSpec
from jetad.writers import write_jets
from jetad_cli.main import COMMANDS, cli

# only looked at, with the reason: beginning of the command -> why it cannot run here
PARSED = {
    "demo": "two minutes; .ci/run runs the README's first command",
    "status": "needs jobs of a scheduler; tests/batch has them",
    "resubmit": "needs a job that failed on a scheduler; tests/batch has them",
    "train --compile": "half a minute of compiling; tests/test_compiled.py does it",
    "fetch": "needs a network; tests/test_fetch.py has a server of its own",
    "doctor /data": "needs a folder at the root of the machine, bound into a container",
}
# of packages that are not on every machine
PARSED |= {
    name: f"needs {package}"
    for name, package in {"explore": "plotly", "search": "optuna"}.items()
    if importlib.util.find_spec(package) is None
}
# pages whose commands another test runs, with files of the formats they speak of
ELSEWHERE = {"docs/formats.md": "tests/readers/test_formats_page.py"}
# run with -m slow alone, and only the first with the same options
SLOW = ("bench", "simulate", "plot", "report", "explore", "search", "two-way", "contamination", "robustness")
WHOLE = ("docs/gallery.md",)  # with -m slow all commands of these: each figure needs what was made before
# what the text leaves out where it names a command with one of its options
COMPLETED = {
    "train": ["--background", "qcd.h5"],
    "score": ["signal.h5"],
    "submit": ["--", "train", "--background", "qcd.h5"],
    "bench": ["--sample", "qcd=qcd.h5", "top=top.h5", "--train", "qcd"],
    "roc": ["-b", "*/qcd.scores.h5", "-s", "*/top.scores.h5"],
    "plot history": ["runs/latest"],
}
QUICK = {
    "training.epochs": 1, "training.contrastive.steps": 3, "training.transport.steps": 3,
    "training.batch_size": 64, "network.hidden": [16], "network.components": 6,
}  # fmt: skip
HELP = "the help texts"
Wanted = Callable[[Documented], bool]
IDS = [name for page in PAGES if (name := str(page.relative_to(ROOT))) not in ELSEWHERE]


def examples() -> list[Documented]:
    """The examples in the help of the commands, each alone."""
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        lines = command.help.splitlines() if command else []
        found += [Documented(0, line.strip(), True) for line in lines if line.strip().startswith("jetad ")]
    return found


def commands(page: str) -> list[Documented]:
    return examples() if page == HELP else documented((ROOT / page).read_text())


def parsed(words: list[str]) -> click.Context:
    """What click makes of a command, sub-commands included; nothing is run.

    Raises:
        click.UsageError: if it is wrong.
    """
    context = cli.make_context("jetad", list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    if context.command is cli.get_command(context, "submit"):
        parsed(list(context.params["words"]))
    return context


def mentioned(words: list[str]) -> None:
    """Check command and options of what is no complete command, such as ``jetad score FILE --keep``."""
    command: click.Command = cli
    for word in words:
        if PLACEHOLDER.fullmatch(word):
            continue
        if isinstance(command, click.Group) and not word.startswith("-"):
            known = command.list_commands(click.Context(command))
            assert word in known, f"there is no command '{word}'"
            command = command.get_command(click.Context(command), word) or command
        elif word.startswith("--"):
            options = {name for parameter in command.params for name in parameter.opts}
            assert word.partition("=")[0] in options, f"'{command.name}' has no option {word}"


def needs_value(words: list[str]) -> bool:
    """Whether the last word is an option that takes a value."""
    with contextlib.suppress(click.UsageError):
        parsed(words)
        return False
    return words[-1].startswith("-")


@functools.cache
def shipped(name: str) -> Jets:
    """Jets of a sample; with charges, which only ROOT files will hold."""
    jets = read([sample(name)])
    return dataclasses.replace(jets, charge=np.arange(len(jets.pt)) % 2)


class Folder:
    """A working folder that gets what a command needs: files of jets, score files, runs."""

    def __init__(self, path: Path, runs: Path) -> None:
        self.path, self.runs = path, runs
        self.n_files = 0
        shutil.copytree(runs / "nae", path / "runs" / "latest")
        for name in ("gmm", "nae", "ae"):
            shutil.copytree(runs / name, path / "jetad-demo" / name)

    def provide(self, words: list[str], *, scores: bool = True) -> None:
        """Make the inputs that ``words`` name and that are not there; not score files without ``scores``."""
        if words[0] == "merge":
            self.score_parts(words[1])
        for word in words:
            name = word if Path(word).exists() else word.partition("=")[2] or word
            if re.fullmatch(r"runs/[a-z-]+", name) and name[5:] in METHODS and not Path(name).exists():
                run(["train", "--background", str(self.runs / "qcd.h5"), "--method", name[5:], "-o", name])
            name = re.sub(r":\w+$", "", name)  # file.root:tree
            if re.search(r"\.(h5|root)$", name) and not glob.glob(name):
                assert scores or ".scores" not in name, f"no command before it makes {name}"
                of_runs = re.search(
                    r"[*?]", str(Path(name).parent)
                )  # a folder a run; else parts of one sample
                for n in "12" if re.search(r"[*?]", name) else "1":
                    self.make(re.sub(r"[*?]", n, name), "nae-2" if n == "2" and of_runs else "nae")

    def make(self, name: str, by: str) -> None:
        """A file of jets, QCD if it is called so, or of their scores by a run."""
        path = Path(name)
        raw = Path(name.replace(".scores", ""))
        raw.parent.mkdir(parents=True, exist_ok=True)
        if not raw.exists():
            qcd = raw.stem.startswith(("qcd", "data"))
            jets, n = (shipped("qcd_train.h5"), 1000) if qcd else (shipped("top.h5"), 200)
            first = n * self.n_files % (len(jets) - n)  # other jets in every file
            self.n_files += 1
            chosen = jets[first : first + n]
            if raw.stem == "test":  # both classes
                chosen = Jets.concatenate([shipped("qcd_train.h5")[2000:2200], chosen])
            write_jets(chosen, raw)
        if path != raw:
            run(["score", str(raw), "-o", str(path), "--run", str(self.runs / by)])

    def score_parts(self, name: str) -> None:
        """What the other jobs of the array have written."""
        stem, suffix = name.partition(".scores")[0], Path(name).suffix
        self.provide(["score", stem + suffix])
        for part in (f"{k}/10" for k in range(1, 11)):
            if not glob.glob(f"{stem}.scores.part-{part.replace('/', '-of-')}{suffix}"):
                run(["score", stem + suffix, "--part", part])


def settings(words: list[str]) -> list[str]:
    """Options that make a training quick: those of ``QUICK`` that its configuration has."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = jetad("train", *words, "--print-config")
    assert code == 0, f"exit code {code}"
    config = yaml.safe_load(printed.getvalue())
    options: list[str] = []
    if METHODS[config["method"]].phases == ("fit",):
        return options  # a setting of a network would train one
    for name, member in config["members"].items():
        for key, value in QUICK.items():
            *path, last = key.split(".")
            section = member
            for part in path:
                section = section.get(part) or {}
            if section.get(last) is not None:
                options += ["--set", f"members.{name}.{key}={value}"]
    return options


def shortened(words: list[str]) -> list[str]:
    """The same command with fewer jets, steps and processes; a scheduler is not asked."""
    kind = words[0]
    fewer = {"-n": "8", "--jobs": "1"}
    words = words[:1] + [fewer.get(option, word) for option, word in pairwise(words)]
    if kind == "simulate":  # so few jets are of no use to the commands that follow
        out = words.index("-o") + 1
        return [*words[:out], f"few_{words[out]}", *words[out + 1 :]]
    if kind == "train" and "--print-config" not in words:
        return words + settings(words[1:])
    if kind in ("two-way", "contamination"):
        return words + settings([])
    if kind == "search":
        method = words[words.index("-m") :][:2] if "-m" in words else ["-m", "gmm"]
        return [*words, *settings(method), "--trials", "1"]
    if kind == "bench":
        return quick_bench(words)
    if kind == "plan":
        return [*words, "--seconds", "0.2"]
    if kind == "submit":
        end = words.index("--")
        return [*words[:end], "--dry-run", *words[end:]]
    if "--dask" in words:
        return [*words, "--check"]
    if "--limit" in words:  # the signal has too few jets here; tests/test_limits.py sets limits
        return [word for word in words if word != "--limit"]
    if "--pdf" in words and find_browser() is None:  # it cannot be printed here
        at = words.index("--pdf")
        return [*words[:at], *words[at + 2 :]]
    return words


def quick_bench(words: list[str]) -> list[str]:
    """The same with two detectors that need no training; the settings of the others are checked."""
    values = parsed(words).params
    for text in values["detectors"]:
        DetectorSpec.parse(text).config(seed=1, representation=values["representation"])
    kept, skipping = [], False
    for word in words:
        skipping = word in ("-d", "--detector") or (skipping and not word.startswith("-"))
        kept += [] if skipping else [word]
    if "-o" not in words:
        kept += ["-o", f"bench-{len(glob.glob('bench-*'))}"]  # another example may have left its own
    return [*kept, *["--n-train", "100", "--max-test", "100", "--n-seeds", "1", "-d", "pca", "mahalanobis"]]


def outputs(words: list[str]) -> Iterator[str]:
    """What options of output name."""
    names = {"-o", "--output", "--plot", "--pdf", "--hepdata", "--histograms", "--workspace"}
    names |= {"--json"} if words[0] in ("roc", "select") else set()
    for option, value in pairwise(words):
        if option == "--":
            return
        if option in names and value != "-":
            yield value


def run(words: list[str]) -> None:
    """Run a command, shortened, with nothing in the place of its outputs before and something after.

    Raises:
        AssertionError: if it does not exit with 0, or leaves no output.
    """
    words = shortened(words)
    for name in outputs(words):
        for path in (Path(name.removesuffix(".pdf") + end) for end in ("", ".pdf", ".png", ".ledger.json")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    code = jetad(*words)
    assert code == 0, f"exit code {code}"
    if not {"--dry-run", "--check"} & set(words):
        for name in outputs(words):
            assert glob.glob(f"{name}*"), f"there is no {name}"


def check(command: Documented, folder: Folder, *, wanted: bool) -> None:
    """Run a command of a page if that is ``wanted``, or look at it as closely as can be.

    Raises:
        AssertionError, click.UsageError: if it does not do what the page says.
    """
    words = words_of(command.text, folder.path)
    if not command.complete or needs_value(words):
        mentioned(words)
        return
    if command.inline:
        words = completed(words)
    parsed(words)
    if not wanted or any(" ".join(words).startswith(beginning) for beginning in PARSED):
        return
    made = set(outputs(words))
    folder.provide([word for word in words if word not in made], scores=command.inline)
    words = words_of(command.text, folder.path)  # patterns may now find files
    run(completed(words) if command.inline else words)


def completed(words: list[str]) -> list[str]:
    """With what the text leaves out."""
    try:
        values = parsed(words).params
        if words[0] not in ("train", "roc") or any(
            map(values.get, ("background", "files", "labelled", "print_config"))
        ):
            return words
    except click.MissingParameter:
        pass
    for beginning, missing in COMPLETED.items():
        n = len(beginning.split())
        if words[:n] == beginning.split():
            return words + missing if "--" in missing else [*words[:n], *missing, *words[n:]]
    return words


def check_page(found: list[Documented], tmp_path: Path, runs: Path, monkeypatch, wanted: Wanted) -> None:
    """Run blocks in one folder, in order, and commands in the text in folders of their own.

    Raises:
        AssertionError: with all commands that failed.
    """
    failures, folders = [], {}
    for command in found:
        key = str(len(folders)) if command.inline else "page"
        if key not in folders:
            folders[key] = Folder(tmp_path / key, runs)
        monkeypatch.chdir(folders[key].path)
        try:
            check(command, folders[key], wanted=wanted(command))
        except (AssertionError, click.ClickException, JetadError, ValueError) as error:
            failures.append(f"line {command.line}: {command.text}: {error}")
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, quick_runs):
    """A folder with finished runs ``nae``, ``nae-2`` (another seed), ``ae`` and ``gmm``, and ``qcd.h5``."""
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(quick_runs / "run", folder / "nae")
    shutil.copytree(quick_runs / "images", folder / "ae")
    shutil.copy(quick_runs / "qcd.h5", folder)
    write_jets(shipped("qcd_train.h5")[-1000:], folder / "held_out.h5")
    words = ["train", "--background", str(folder / "qcd.h5"), "--method", "nae", "--seed", "2"]
    words += ["-o", str(folder / "nae-2")]
    run(words)
    run(["train", "--background", str(folder / "qcd.h5"), "-o", str(folder / "gmm")])
    for name in ("nae", "nae-2"):  # the quick ones held 20 jets out, too few for a working point of 0.01
        run(["calibrate", "--background", str(folder / "held_out.h5"), "--run", str(folder / name)])
    return folder


@pytest.fixture
def look(tmp_path, runs, monkeypatch):
    monkeypatch.delenv("JETAD_RUN", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return lambda found, wanted: check_page(found, tmp_path, runs, monkeypatch, wanted)


@pytest.mark.parametrize("page", IDS)
def test_commands_of_a_page_run(look, page):
    look(commands(page), lambda command: command.name not in SLOW)


@functools.cache
def first_of_their_kind() -> dict[tuple[str, ...], tuple[str, int, str]]:
    """Where the commands of each kind stand first: page, line, text."""
    found: dict[tuple[str, ...], tuple[str, int, str]] = {}
    for page in [*IDS, HELP]:
        for command in filter(lambda command: command.complete, commands(page)):
            found.setdefault(command.kind, (page, command.line, command.text))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", [*IDS, HELP])
def test_slow_commands_of_a_page_run(look, page):
    def wanted(command: Documented) -> bool:
        if page in WHOLE:
            return True
        if command.name in SLOW:
            return first_of_their_kind().get(command.kind) == (page, command.line, command.text)
        return page == HELP

    look(commands(page), wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\njetad score signal.root --kepp jet_pt\n```", "No such option"),
        ("```sh\njetad roc -b qcd.scores.h5 -o roc.pdf\n```", "no command before it makes qcd.scores"),
        ("```sh\njetad train --background qcd.h5 --set training.epoch=3\n```", "exit code 2"),
        ("```sh\njetad score signal.root 'unfinished\n```", "the shell does not take it"),
        ("with `jetad calibrate --background FILE --weigth COLUMN`", "has no option --weigth"),
        ("with `jetad calibarte --background FILE`", "there is no command 'calibarte'"),
        ("    jetad submit slurm -- train --backgruond qcd.h5", "No such option"),
        ("`jetad score signal.h5 --working-point 0.01 --run runs/none`", "exit code 1"),
        ("`jetad inspect signal.h5 --plot jets.txt`", "exit code 1"),
    ],
)
def test_wrong_commands_are_noticed(look, text, message):
    with pytest.raises(AssertionError, match=message):
        look(documented(text), lambda command: True)
