"""Odd words, names, numbers and surroundings end in one plain sentence; nothing secret is shown or kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.batch import Job
from jetad.config import RunConfig
from jetad.config.schema import MAX_SEED
from jetad.detector import TrainedDetector
from jetad.errors import JetadError, OutputError, encodable, memory_message, without_secrets
from jetad.files import atomic_output, own_token
from jetad.jets import Jets, Selection
from jetad.plots.style import drawable
from jetad.preprocessing.constituents import JetConstituents
from jetad.preprocessing.features import JetFeatures
from jetad.preprocessing.images import JetImages
from jetad.readers.inspection import inspect_file
from jetad.runs import Run
from jetad.scores import Scores, load_scores
from jetad.writers import write_jets
from jetad_cli.options import MAX_SEED as MAX_SEED_OF_OPTIONS

SECRET = "sesame-4711"


def said(capsys) -> str:
    """The last line on standard error, which must be no apology for a bug."""
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert "this is a bug" not in text
    return text


# --- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:pw@host/x", "http://***@host/x"),
        ("root:/ann:p@w@host:1094//x y", "root:/***@host:1094//x y"),
        ("https://token@host/x", "https://***@host/x"),
        ("'https://h/x?a=1&X-Amz-Signature=ab%20c&b=2'", "'https://h/x?a=1&X-Amz-Signature=***&b=2'"),
        ("davs://h/x?authz=Bearer%20abc", "davs://h/x?authz=***"),
        ("http://h/x@y/z?n=1", "http://h/x@y/z?n=1"),
        ("ann@host: file a:b", "ann@host: file a:b"),
    ],
)
def test_what_is_secret_in_a_text(text, shown):
    assert without_secrets(text) == shown
    assert str(JetadError(text)) == shown


URLS = (f"http://ann:{SECRET}@127.0.0.1:9/x.h5", f"https://127.0.0.1:9/x.root?access_token={SECRET}")


@pytest.mark.parametrize("url", URLS)
def test_no_command_shows_or_keeps_a_password(folder, capsys, monkeypatch, url):
    from jetad.readers.containers import remote

    monkeypatch.setattr(remote, "RETRY_DELAYS", (0.0,))
    commands = [
        ["inspect", url],
        ["score", url, "--run", "run"],
        ["score", url, "qcd.h5", "--run", "run", "-o", "out/"],
        ["train", "-b", url],
        ["roc", "-b", url, "-s", url],
        ["plot", "scores", f"a={url}"],
        ["inspect", url, "-vv"],
        ["plot", "history", url],
        ["score", "qcd.h5", "--run", url],
        ["inspect", "qcd.h5", "--units", url],
        [url],
        ["calibrate", "--run", "run", "-b", "qcd.h5", url],
        ["train", "-b", "qcd.h5", "--config", url],
    ]
    for words in commands:
        code = 0
        try:
            code = jetad(*words)
        except JetadError as error:  # with -vv
            code = error.exit_code
            sys.excepthook(type(error), error, error.__traceback__)
        assert code != 0, words
        shown = capsys.readouterr()
        assert SECRET not in shown.out + shown.err, words
    for path in folder.rglob("*"):
        assert not (path.is_file() and SECRET.encode() in path.read_bytes()), path


def test_a_training_keeps_no_password(folder, monkeypatch):
    url = URLS[0]
    monkeypatch.setattr(sys, "argv", ["jetad", "train", "-b", "qcd.h5", "--monitor", f"a={url}"])
    assert jetad("train", "-b", "qcd.h5", "-o", "masses", "--method", "mass") == 0
    assert Run("masses").provenance["command"][-1] == "a=http://***@127.0.0.1:9/x.h5"


def test_no_job_is_made_of_a_password(tmp_path):
    from jetad.batch.job import Task
    from jetad.batch.slurm import SlurmOptions
    from jetad.errors import ConfigError

    task = Task(1, ["score", URLS[0]], {}, [], [], "")
    job = Job.new(
        tmp_path / "job",
        scheduler="slurm",
        kind="score",
        words=[],
        tasks=[task],
        options=SlurmOptions(),
        site="",
        prefix=["jetad"],
    )
    with pytest.raises(ConfigError, match="holds a password or key"):
        job.create()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["container={}", "setup=curl {}", "container_options=--docker-login {}"])
def test_no_option_of_a_job_holds_a_password(setting):
    from jetad.batch.options import load_options
    from jetad.batch.slurm import SlurmOptions
    from jetad.errors import ConfigError

    with pytest.raises(ConfigError, match="holds a password or key"):
        load_options(SlurmOptions, "slurm", settings=[setting.format(URLS[0])])


def test_site_settings_that_cannot_be_read(tmp_path):
    from jetad.batch.options import load_options
    from jetad.batch.slurm import SlurmOptions
    from jetad.errors import ConfigError

    (tmp_path / "site.yaml").write_bytes(b"\x89HDF\r\n")
    for path in (tmp_path / "site.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_options(SlurmOptions, "slurm", file=path)


def test_no_number_on_the_command_line_is_nan_or_infinite(capsys):
    """Ranges of click let nan through."""
    import click

    from jetad_cli.main import cli

    def walk(command, words):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), [*words, name])
        else:
            for option in command.params:
                kind = getattr(option.type, "of", option.type)
                if isinstance(kind, (click.types.FloatParamType, click.FloatRange)):
                    yield words, option

    found = list(walk(cli, []))
    assert len(found) > 20
    for _, option in found:
        for value in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                option.type.convert(value, option, None)


# --- selections and numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abs > 1", "'abs' is a function and takes a value, such as abs(jet_eta)"),
        ("jet_pt > max", "'max' is a function"),
        ("abs(sqrt) > 1", "'sqrt' is a function"),
        ("9" * 4000 + " > jet_pt", "is not allowed"),
        ("9" * 4400 + " > jet_pt", "a number has thousands of digits"),
        ("jet_pt > (" + "x" * 3000, "is no selection"),
    ],
)
def test_selections_that_are_none(folder, capsys, text, message):
    assert jetad("inspect", "qcd.h5", "--select", text) == 2
    line = said(capsys)
    assert message in line
    assert len(line) < 1400


@pytest.mark.parametrize(
    "text",
    [
        "(jet_pt > 1) - (jet_pt > 2) == 0",
        "-(jet_pt > 1) < 0",
        "(jet_pt > 1) ** 2 > 0",
        "abs(jet_pt > 1) > 0",
        "(jet_pt > 1) + (jet_pt > 2) == 2",
        "True - jet_pt < 0",
        "(jet_pt > 1) / 2 > 0.4",
    ],
)
def test_a_cut_that_is_met_counts_one(text):
    assert len(Selection(text)(toy_jets(20, 1))) == 20


@pytest.mark.parametrize("seed", [MAX_SEED + 1, 2**64, 10**400])
def test_seeds_that_no_generator_takes(folder, capsys, seed):
    for words in (
        ["train", "-b", "qcd.h5", "--seed"],
        ["robustness", "--run", "run", "-b", "qcd.h5", "--seed"],
    ):
        assert jetad(*words, seed) == 2
        assert "--seed" in said(capsys)
    assert jetad("train", "-b", "qcd.h5", "--set", f"seed={seed}", "--print-config") == 2
    assert "seed" in said(capsys)


@pytest.mark.parametrize("option", ["--threads", "--jobs"])
def test_more_processes_than_any_machine_has(folder, capsys, option):
    for number in (2**64, "9" * 4000):
        assert jetad("score", "qcd.h5", "--run", "run", option, number) == 2
        assert option in said(capsys)


def test_the_largest_seed_trains(folder):
    assert MAX_SEED_OF_OPTIONS == MAX_SEED
    words = ["--method", "ae", "--representation", "features", "--set", "network.hidden=[8]", *QUICK[:2]]
    assert jetad("train", "-b", "qcd.h5", "-o", "new", "--seed", MAX_SEED, *words) == 0


@pytest.mark.parametrize("number", ["1e300", "-1e300", "inf", ".inf", "nan", "1e31", "9" * 400])
@pytest.mark.parametrize(
    "name", ["training.learning_rate", "training.contrastive.temperature", "training.max_grad_norm"]
)
def test_settings_beyond_float32(folder, capsys, name, number):
    assert jetad("train", "-b", "qcd.h5", "--set", f"{name}={number}", "--print-config") == 2
    assert name.rpartition(".")[2] in said(capsys)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 GiB for an array"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 70 bytes. Error 12"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_too_little_memory_is_told(folder, capsys, monkeypatch, error):
    from jetad.training.loop import Trainer

    assert "not enough memory" in str(memory_message(error))
    assert memory_message(RuntimeError("shape")) is None

    def fit(self, stop=None):
        raise error

    monkeypatch.setattr(Trainer, "fit", fit)
    if not isinstance(error, OSError):
        assert jetad("train", "-b", "qcd.h5", "-o", "new", "-m", "ae", "--representation", "features") == 1
        assert "lower training.batch_size" in said(capsys)

    def read(*arguments, **options):
        raise error

    monkeypatch.setattr("jetad.readers.inspection.describe", read)
    assert jetad("inspect", "qcd.h5") == 1
    assert "not enough memory" in said(capsys)


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["h5", "root", "csv", "parquet"])
def test_a_name_that_is_no_utf8_is_scored_and_written_escaped(folder, capsys, suffix):
    name = os.fsdecode(b"jets_\xe9.h5")
    shutil.copy("qcd.h5", name)
    output = os.fsdecode(b"new_\xe9.") + suffix
    assert jetad("score", name, "--run", "run", "-o", output, "--select", "jet_pt > 1") == 0
    scores = load_scores(output)
    assert len(scores) == 200
    if suffix != "csv":
        assert scores.metadata["input"] == r"jets_\xe9.h5"
    assert jetad("verify", output, name) == 0


@pytest.mark.parametrize("suffix", ["h5", "root", "parquet"])
def test_what_is_no_character_is_written_escaped(tmp_path, suffix):
    Scores(score=[1.0], metadata={"input": "a\udce9"}).save(tmp_path / f"a.{suffix}")
    assert load_scores(tmp_path / f"a.{suffix}").metadata["input"] == r"a\xe9"


def test_encodable():
    assert encodable("é\udce9") == "é\\xe9"
    assert encodable("日本") == "日本"


NAMES = [
    "$",
    "a$b$c$",
    "$x^$",
    r"$\frac{$",
    "a_{b",
    "x" * 300,
    "\x1b[31m",
    "\udce9",
    "a\nb",
    "$x_1$",
    "%s{0}",
    "é日本",
]


@pytest.mark.parametrize("name", NAMES)
def test_figures_hold_any_name(folder, name, monkeypatch):
    import matplotlib.pyplot as plt

    from jetad.plots import plot_scores, save

    rng = np.random.default_rng(1)
    scores = Scores(score=rng.normal(size=50))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fonts
        figure = plot_scores({name: scores, f"other {name}": scores})
        save(figure, "figure")
    assert Path("figure.pdf").stat().st_size > 1000
    plt.close(figure)


def test_drawable_keeps_formulas():
    assert drawable(r"$t\bar{t}$ (150 jets)") == r"$t\bar{t}$ (150 jets)"
    assert drawable("5$ and 6^$") == r"5\$ and 6^\$"
    assert drawable("5$") == "5$"
    lines = (
        r"score 29.8  ($\varepsilon_B$ = 8.3e-04)"
        + "\n"
        + "$p_T$ = 556 GeV, m = 242 GeV\n"
        + "42 constituents" * 6
    )
    assert drawable(lines).startswith(lines[:70])  # a long text of short lines
    assert len(drawable("x" * 300)) < 100
    assert drawable("a\x1bb") == r"a\u001bb"


def test_too_long_names_and_circles(folder, capsys):
    Path("circle").symlink_to("circle")
    for words in (
        ["score", "qcd.h5", "--run", "run", "-o", "x" * 300 + ".h5"],
        ["score", "qcd.h5", "--run", "circle"],
        ["score", "qcd.h5", "--run", "run", "-o", "circle"],
        ["plot", "scores", "x" * 300],
        ["merge", "", "-o", "n.h5"],
        ["roc", "-b", "x" * 300, "-s", "circle"],
        ["inspect", "qcd.h5/x.h5"],
        ["train", "-b", "qcd.h5", "-o", "qcd.h5/x"],
    ):
        assert jetad(*words) in (1, 2), words
        line = said(capsys)
        assert "rror" in line
        assert len(line) < 1400


# --- streams -----------------------------------------------------------------------------------------------


def run_shell(command: str, **more) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}
    line = command.replace("jetad", f"{sys.executable} -m jetad", 1)
    return subprocess.run(line, shell=True, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_standard_output_is_told():
    done = run_shell("jetad methods >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "jetad: error: standard output cannot be written (No space left on device)\n"


def test_closed_streams(folder):
    done = run_shell("jetad score qcd.h5 --run run 2>&-")
    assert done.returncode == 0
    assert "200 of 200 jets scored" in done.stdout
    assert len(load_scores("qcd.scores.h5")) == 200
    assert run_shell("jetad score qcd.h5 --run run -o b.h5 >&- 2>&- <&-").returncode == 0
    np.testing.assert_array_equal(load_scores("b.h5").score, load_scores("qcd.scores.h5").score)


def test_a_locale_without_the_characters(folder):
    shutil.copy("qcd.h5", "é.h5")
    done = run_shell("jetad inspect é.h5", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert ".h5" in done.stdout


def test_lists_and_settings_that_never_end(folder, capsys):
    os.mkfifo("pipe")
    Scores(score=[1.0], metadata={"input_sha256": "0"}).save("scores.h5")
    assert jetad("inspect", "@/dev/zero") == 1
    assert "is a device" in said(capsys)
    for words in (
        ["train", "-b", "qcd.h5", "--config", "pipe"],
        ["inspect", "qcd.h5", "--mapping", "pipe"],
        ["inspect", "@pipe"],
        ["verify", "scores.h5", "pipe"],
        ["submit", "slurm", "--site", "pipe", "--", "train", "-b", "qcd.h5"],
    ):
        assert jetad(*words) in (1, 2)
        assert "pipe: is a pipe, and only plain files are read" in said(capsys)


def test_an_output_takes_the_place_of_no_device_or_pipe(folder, capsys):
    os.mkfifo("pipe.h5")
    Path("link.h5").symlink_to("/dev/null")
    for output in ("pipe.h5", "link.h5"):
        for force in ([], ["--force"]):
            assert jetad("score", "qcd.h5", "--run", "run", "-o", output, *force) == 1
            message = said(capsys)
            assert f"{output}: is a " in message
            assert "would take its place" in message
        assert jetad("plot", "history", "run", "-o", output, "--force") in (1, 2)
        assert "give the name of a figure" in said(capsys)
    os.mkfifo("pipe")
    assert jetad("score", "qcd.h5", "--run", "run", "-o", "pipe", "--force") == 1
    assert "pipe: is no folder; give a folder, or a file ending in .h5" in said(capsys)
    assert Path("pipe.h5").is_fifo()
    assert Path("link.h5").is_symlink()
    assert sorted(Path().glob("*.p[dn][fg]")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be refused as")
def test_folders_and_settings_without_permission(folder, capsys):
    folder.chmod(0o755)
    Path("closed").mkdir(mode=0o700)
    Path("run/config.yaml").chmod(0o600)
    words = [
        ["score", "qcd.h5", "--run", "run", "-o", "new.h5"],
        ["score", "qcd.h5", "-o", "closed/new.h5"],
        ["plot", "history", "run", "-o", "closed/x"],
        ["simulate", "qcd", "-n", "1", "-o", "closed/x.h5"],
        ["train", "-b", "qcd.h5", "--config", "run/config.yaml"],
    ]
    code = "import os, sys; os.seteuid(65534); from jetad_cli.main import main; main(sys.argv[1:])"
    for parent in folder.parents:  # of pytest, closed to others
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            pytest.skip("folders above are closed")
    for line in words:
        done = subprocess.run(
            [sys.executable, "-c", code, *line],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode in (1, 2), done
        assert "this is a bug" not in done.stderr
        assert "ermission" in done.stderr


# --- jets --------------------------------------------------------------------------------------------------


ONE = [(50.0, 0.3, 0.4, 0.0), (20.0, 0.4, 0.3, 0.0), (5.0, 0.1, 0.4, 0.0)]


@pytest.mark.parametrize("representation", ["image", "features", "constituents"])
@pytest.mark.parametrize("kind", ["identical", "one constituent"])
def test_jets_that_all_look_the_same_are_refused_at_once(folder, capsys, monkeypatch, representation, kind):
    from jetad.training.loop import Trainer

    def fit(self, stop=None):
        raise AssertionError("trained")

    monkeypatch.setattr(Trainer, "fit", fit)
    rng = np.random.default_rng(3)
    rows = [ONE] * 200
    if kind == "one constituent":
        rows = [[(float(pt), float(eta), 0.1, 0.0)] for pt, eta in rng.uniform(1, 2, (200, 2))]
    write_jets(Jets.from_lists(rows), "same.h5")
    method = "ae" if representation != "constituents" else "nae"
    words = ["--method", method, "--representation", representation, "--units", "GeV"]
    if representation == "constituents":
        words += ["--set", "network.hidden=[8]"]
    code = jetad("train", "-b", "same.h5", "-o", "new", *words)
    assert code == 1, code
    line = said(capsys)
    assert "look the same" in line or "same value in every training jet" in line


@pytest.mark.parametrize(
    "odd", [(50.0, 0.0, 1e30, 0.0), (50.0, 1e6, 0.0, 0.0), (50.0, -60.0, 0.0, 0.0), (1.0, 0, -200, 0)]
)
def test_directions_that_are_none_get_no_score(folder, odd):
    jets = Jets.from_lists([ONE, [*ONE, odd], ONE])
    scores = TrainedDetector.from_run(Run("run"), "cpu").score(jets)
    assert np.isfinite(scores[[0, 2]]).all()
    assert np.isnan(scores[1])
    for preprocessor in (JetImages(), JetConstituents(), JetFeatures()):
        rows = preprocessor.transform(jets).reshape(3, -1)
        assert np.isnan(rows[1]).all()
        assert np.isfinite(rows[[0, 2]]).all()
    rows = np.zeros((3, 4, 4))
    for row, jet in zip(rows, ([ONE[0]], [ONE[0], odd], ONE), strict=True):
        row[: len(jet)] = jet
    np.savez("odd.npz", pt=rows[..., 0], eta=rows[..., 1], phi=rows[..., 2])
    Path("map.yaml").write_text("constituents: {pt: pt, eta: eta, phi: phi, mass: 0}\n")
    assert any(
        "which are no directions" in text for text in inspect_file("odd.npz", mapping="map.yaml").warnings
    )


def test_the_same_directions_on_a_device():
    from jetad.detector.inputs import device_images

    jets = Jets.from_lists([ONE, [*ONE, (50.0, 0.0, 1e30, 0.0)], [*ONE, (50.0, 1e6, 0.0, 0.0)], ONE])
    images = device_images(JetImages(), jets, torch.device("cpu")).numpy()
    np.testing.assert_array_equal(np.isnan(images).any(axis=(1, 2, 3)), [False, True, True, False])


def test_turns_of_phi_and_padding_stay_jets():
    turned = [(pt, eta, phi + 4 * np.pi, m) for pt, eta, phi, m in ONE]
    padded = [*ONE, (0.0, 999.0, 0.0, 0.0)]
    rows = JetImages().transform(Jets.from_lists([ONE, turned, padded]))
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-4)
    np.testing.assert_array_equal(rows[2], rows[0])


def test_no_warning_of_a_library_reaches_the_user(folder):
    rows = [
        ONE,
        [(1e30, 40.0, 0.0, 0.0)] * 3,
        [(1e-30, 0.0, 0.0, 0.0)],
        [(np.inf, 1, 1, 0)],
        [(50.0, 1e6, 1e30, np.nan)],
    ]
    with np.errstate(all="ignore"):
        write_jets(Jets.from_lists(rows), "odd.root")
    for command in ("inspect odd.root --units GeV", "score odd.root --run run --units GeV"):
        done = run_shell(f"jetad {command}")
        assert done.returncode == 0, done.stderr
        assert ".py:" not in done.stderr
        assert "Warning" not in done.stderr


def test_libraries_are_heard_with_v(folder, capsys, monkeypatch):
    def describe(*arguments, **options):
        warnings.warn("of a library\nin two lines", RuntimeWarning, stacklevel=1)
        raise JetadError("end")

    monkeypatch.setattr("jetad.readers.inspection.describe", describe)
    for words, shown in ((["inspect", "qcd.h5"], False), (["-v", "inspect", "qcd.h5"], True)):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert jetad(*words) == 1
        assert ("warning of a library: of a library" in capsys.readouterr().err) == shown


# --- what a killed process leaves --------------------------------------------------------------------------


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def leftovers(process: int) -> list[str]:
    token = own_token().replace(f"_{os.getpid()}_", f"_{process}_")
    return [f".new.{token}.tmp.h5", f".run2.{token}.tmp", f".run2.{token}.old", f".job.{token}.tmp"]


def test_leftovers_of_killed_processes_are_removed_by_the_same_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dead, alive = leftovers(dead_process()), leftovers(os.getppid())
    Path("precious").mkdir()
    Path("precious/file").write_text("x")
    for file, *folders in (dead, alive):
        Path(file).write_text("half")
        for name in folders:
            Path(name).mkdir()
            Path(name, "config.yaml").write_text("half")
    token = own_token().replace(f"_{os.getpid()}_", f"_{dead_process()}_")
    Path(f".run2.{token}.old").symlink_to("precious")
    with atomic_output("new.h5") as temporary:
        temporary.write_text("x")
    run = Run.create(Path("run2"), _config(), {})
    _job(Path("job")).create()
    assert run.path.is_dir()
    left = {p.name for p in Path().iterdir()}
    assert not left & set(dead)
    assert set(alive) <= left
    assert Path("precious/file").read_text() == "x"


def _config() -> RunConfig:
    from jetad.config import resolve_config

    return resolve_config(method="mass")


def _job(path: Path) -> Job:
    from jetad.batch.slurm import SlurmOptions

    return Job.new(
        path,
        scheduler="slurm",
        kind="train",
        words=[],
        tasks=[],
        options=SlurmOptions(),
        site="",
        prefix=["jetad"],
    )


def test_a_job_that_was_killed_while_its_folder_was_made_is_in_nobodys_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(self, name, text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Job, "write", write)
        with pytest.raises(KeyboardInterrupt):
            _job(Path("jobs/one")).create()
    assert not Path("jobs/one").exists()
    _job(Path("jobs/one")).create()
    assert Job.open("jobs/one").tasks == []
    with pytest.raises(OutputError, match="exists already"):
        _job(Path("jobs/one")).create()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created", 3),
        ("created", ""),
        ("tasks", {}),
        ("tasks", [{"number": 1}]),
        ("prefix", [1]),
        ("merges", {"a": 3}),
        ("folder", None),
        (
            "submissions",
            [{"script": "a", "job_id": "1", "tasks": [1], "memory": None, "time": None, "submitted": "1.5"}],
        ),
    ],
)
def test_a_record_of_a_job_that_makes_no_sense(tmp_path, monkeypatch, capsys, name, value):
    monkeypatch.chdir(tmp_path)
    _job(Path("jobs/one")).create()
    path = Path("jobs/one/job.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    assert jetad("status", "jobs") == 1
    assert "jobs/one/job.json: is damaged" in said(capsys)


@pytest.mark.parametrize("kind", [".h5", ".root", ".csv", ".parquet"])
@pytest.mark.parametrize("source", ["none.h5", "none.root"])
def test_zero_jets_have_zero_scores(folder, capsys, source, kind):
    write_jets(toy_jets(0), source)
    assert jetad("score", source, "--run", "run", "-o", f"scores{kind}") == 0
    assert "holds zero jets: the score file has no rows" in capsys.readouterr().err
    assert len(load_scores(f"scores{kind}")) == 0
    assert jetad("verify", f"scores{kind}", source) == 0
    assert jetad("score", source, "qcd.h5", "--run", "run", "-o", "both", "--jobs", "2") == 0
    assert len(load_scores("both/none.scores" + Path(source).suffix)) == 0
    assert len(load_scores("both/qcd.scores.h5")) == 200


def test_links_in_a_circle_are_one_sentence(folder, capsys):
    Path("circle").symlink_to("circle")
    Path("scores.h5").mkdir()
    Path("scores.h5/circle").symlink_to("circle")
    assert jetad("score", "qcd.h5", "--run", "run") == 0
    for words in (
        ["roc", "-b", "qcd.scores.h5", "-s", "circle", "-s", "scores.h5/circle"],
        ["roc", "-b", "c*", "-s", "qcd.scores.h5"],
        ["roc", "-b", "circle", "-s", "circle", "--by", "folder"],
        ["inspect", "circle"], ["inspect", "c*"], ["train", "-b", "circle"],
        ["score", "circle", "--run", "run"],
        ["score", "qcd.h5", "--run", "circle"], ["score", "qcd.h5", "--run", "run", "-o", "circle/x.h5"],
        ["doctor", "circle"],
    ):  # fmt: skip
        capsys.readouterr()
        assert jetad(*words) in (0, 1, 2), words
        assert "unexpected" not in capsys.readouterr().err, words


@pytest.mark.parametrize("output", [".", "/"])
def test_a_folder_is_no_name_of_a_figure(folder, capsys, output):
    assert jetad("plot", "images", "qcd.h5", "-o", output) == 2
    assert "is a folder" in said(capsys)
