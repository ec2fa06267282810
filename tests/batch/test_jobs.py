"""Jobs without a scheduler: settings, tasks, checks before submission, and what is made of a failure."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.batch import Job, job_status
from jetad.batch.base import Queued
from jetad.batch.htcondor import HTCondorOptions
from jetad.batch.options import load_options, shipped_profiles
from jetad.batch.slurm import Slurm, SlurmOptions
from jetad.batch.tasks import Footprint, parse_scans, score_tasks, train_tasks
from jetad.errors import ConfigError, memory_message
from jetad.writers import write_jets

NOW = "2026-11-22T10:00:00Z"


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    """A working folder with a run and jets; no settings of a site."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("JETAD_RUN", raising=False)
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    shutil.copytree(quick_runs / "run", "run")
    write_jets(toy_jets(30, 2, labels=1), "signal.h5")
    return tmp_path


# --- settings ------------------------------------------------------------------------------------------


SITE = """
gpu:
  base: slurm-gpu
  partition: a100
  time: 1:30:00
  setup: [module load cuda, source env.sh]
cern: {base: lxplus, flavour: tomorrow}
wrong: {scheduler: slurm, partitoin: x}
circle: {base: other}
other: {base: circle}
"""


def test_profiles(folder):
    Path("config/jetad").mkdir(parents=True)
    Path("config/jetad/site.yaml").write_text(SITE)
    options, source = load_options(SlurmOptions, "slurm", settings=["qos=short", "extra=--a", "extra=--b"])
    assert (options.partition, options.gpus, options.memory, options.time) == ("a100", 1, 16 * 1024, 90)
    assert options.setup == ("module load cuda", "source env.sh")
    assert (options.qos, options.extra) == ("short", ("--a", "--b"))
    assert "profile 'gpu'" in source
    assert "site.yaml" in source
    options, _ = load_options(HTCondorOptions, "htcondor", given={"memory": "2.5G"})
    assert (options.flavour, options.memory) == ("tomorrow", 2560)
    assert set(shipped_profiles()) == {"lxplus", "slurm-gpu"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"profile": "wrong"}, "unknown setting 'partitoin'; did you mean 'partition'"),
        ({"profile": "lxplsu"}, "no such profile in .*; known: lxplus"),
        ({"profile": "lxplus"}, "is for htcondor, not for slurm"),
        ({"profile": "circle"}, "unknown base"),
        ({"settings": ["flavour=workday"]}, "--option flavour: unknown setting 'flavour'"),
        ({"settings": ["cpus=0"]}, "--option cpus: .*greater than or equal to 1, found '0'"),
        ({"given": {"time": "4:30"}}, "--time: write time as"),
        ({"given": {"memory": "lots"}}, "--memory: write memory as 4G"),
        ({"given": {"memory": "9" * 4000}}, "--memory: write memory as 4G"),
        ({"given": {"memory": "9" * 400 + "G"}}, "--memory: write memory as 4G"),
        ({"given": {"time": "9" * 4000 + "h"}}, "--time: write time as"),
        ({"given": {"time": "9" * 4300 + "-0:00:00"}}, "--time: write time as"),
    ],
)
def test_mistakes_in_settings(folder, words, message):
    Path("my.yaml").write_text(SITE)
    with pytest.raises(ConfigError, match=message):
        load_options(SlurmOptions, "slurm", file=Path("my.yaml"), **words)


# --- tasks ---------------------------------------------------------------------------------------------


def test_scans_and_seeds_multiply():
    scans = parse_scans(["training.epochs=1,2", "method=ae,nae"])
    tasks = train_tasks(["train", "-b", "x.h5"], name="j", seeds=2, first_seed=5, scans=scans)
    assert len(tasks) == 8
    assert tasks[-1].settings == {"training.epochs": "2", "method": "nae", "seed": "6"}
    assert tasks[-1].words[3:] == [
        "--set", "training.epochs=2", "--method", "nae", "--seed", "6",
        "--output", "runs/j/epochs-2_method-nae_seed-6",
    ]  # fmt: skip
    assert len({task.folder for task in tasks}) == 8
    for wrong in (["epochs"], ["epochs="], ["epochs=1,1"], ["a=1", "a=2"], ["a=[1"]):
        with pytest.raises(ConfigError, match="--scan"):
            parse_scans(wrong)


def test_files_and_parts_multiply():
    inputs = [Path(f"{name}.h5") for name in "abc"]
    outputs = [Path(f"out/{name}.scores.part-1-of-2.h5") for name in "abc"]
    footprint = Footprint([*inputs, Path("run")], outputs)
    files = ["a.h5", "b.h5", "c.h5"]
    tasks = score_tasks(["score", "-o", "out"], footprint, files=files, parts=2, files_per_task=2)
    assert [task.settings for task in tasks] == [
        {"part": "1/2", "files": "1-2"}, {"part": "2/2", "files": "1-2"},
        {"part": "1/2", "files": "3"}, {"part": "2/2", "files": "3"},
    ]  # fmt: skip
    assert tasks[1].words == ["score", "--part", "2/2", "-o", "out", "a.h5", "b.h5"]
    assert tasks[1].outputs == ["out/a.scores.part-2-of-2.h5", "out/b.scores.part-2-of-2.h5"]
    assert tasks[2].inputs == ["c.h5", "run"]


# --- before submission ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "command", "code", "message"),
    [
        ([], ["train", "-b", "qcd.h5", "--set", "training.epoch=1"], 2, "did you mean 'training.epochs'"),
        (["--scan", "method=ae,na"], ["train", "-b", "qcd.h5"], 2, "unknown method 'na'"),
        (["--scan", "training.epochs=1,x"], ["train", "-b", "qcd.h5"], 2, "epochs"),
        ([], ["train", "-b", "gone.h5"], 1, "gone.h5: no such file"),
        ([], ["train", "-b", "qcd.h5", "-o", "run"], 1, "holds a finished training"),
        ([], ["train"], 2, "--background"),
        ([], ["train", "-b", "qcd.h5", "--print-config"], 2, "nothing to submit"),
        ([], ["train", "-b", "qcd.h5", "--typo"], 2, "--typo"),
        ([], ["trian", "-b", "qcd.h5"], 2, "choose one of: train"),
        ([], ["score", "signal.h5"], 2, "no run to score with"),
        ([], ["score", "gone.h5", "signal.h5", "--run", "run"], 1, "gone.h5: no such file"),
        ([], ["score", "signal.h5", "--run", "run", "--keep", "tau"], 1, "no column 'tau'"),
        ([], ["score", "signal.h5", "--run", "run", "--working-point", "1e-9"], 2, "no jet can pass"),
        ([], ["score", "signal.h5", "--run", "run", "--select", "jet_pt >"], 2, "--select"),
        (["--parts", 31], ["score", "signal.h5", "--run", "run"], 1, "share 1 of 31 is empty"),
        (["--parts", 2], ["score", "signal.h5", "--run", "run", "-o", "x.h5"], 2, "give a folder"),
        (["--parts", 2], ["score", "signal.h5", "--run", "run", "--part", "1/2"], 2, "leave out --part"),
        (["--parts", 2], ["train", "-b", "qcd.h5"], 2, "--seeds and --scan"),
        (["--seeds", 2], ["score", "signal.h5", "--run", "run"], 2, "--parts and --files-per-task"),
        (["--name", "a/b"], ["train", "-b", "qcd.h5"], 2, "plain word"),
    ],
)
def test_mistakes_are_found_before_submission(folder, capsys, options, command, code, message):
    before = sorted(folder.rglob("*"))
    assert jetad("submit", "slurm", *options, "--dry-run", "--", *command) == code
    assert message in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("scheduler", ["slurm", "htcondor"])
def test_a_missing_scheduler_is_named(folder, capsys, monkeypatch, scheduler):
    monkeypatch.setenv("PATH", str(folder))
    assert jetad("submit", scheduler, "--name", "x", "--", "train", "-b", "qcd.h5", *QUICK) == 1
    assert "is not installed here" in capsys.readouterr().err
    assert not Path("jobs/x").exists()
    assert jetad("status") == 1
    assert "holds no jobs" in capsys.readouterr().err


def test_check_says_what_would_be_written(folder, capsys):
    assert jetad("score", "signal.h5", "qcd.h5", "--run", "run", "-o", "new", "--check") == 0
    assert capsys.readouterr().out == "would write new/signal.scores.h5\nwould write new/qcd.scores.h5\n"
    assert jetad("train", "-b", "qcd.h5", "-o", "new", *QUICK, "--check") == 0
    told, written = capsys.readouterr().out.splitlines()
    assert told.startswith("would train 'nae' on ")
    assert written == "would write new"
    assert not Path("new").exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize(
    "options", [["slurm", "--seeds", 3], ["htcondor"], ["htcondor", "--option", "transfer_files=yes"]]
)
def test_shellcheck_likes_the_scripts(folder, capsys, options):
    setup = ["--option", "setup=module load x", "--container", "image.sif", "--option", "max_running=2"]
    assert (
        jetad("submit", *options, *setup, "--dry-run", "--name", "x", "--", "train", "-b", "qcd.h5", *QUICK)
        == 0
    )
    script = capsys.readouterr().out.split("==> jobs/x/job-1.sh\n")[1].split("\n==> ")[0]
    result = subprocess.run(
        ["shellcheck", "--severity=warning", "--shell=bash", "-"],
        input=script,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def test_the_script_of_slurm(folder, capsys):
    words = ["--profile", "slurm-gpu", "--account", "phys", "--option", "gpu_type=a100", "--name", "x"]
    words += [
        "--option",
        "max_array=2",
        "--option",
        "max_running=2",
        "--seeds",
        3,
        "--container",
        "jetad.sif",
    ]
    assert jetad("submit", "slurm", *words, "--dry-run", "--", "train", "-b", "qcd.h5", *QUICK) == 0
    first, second = capsys.readouterr().out.split("==> jobs/x/job-1.sh\n")[1:]
    head = [line for line in first.splitlines() if line.startswith("#SBATCH")]
    assert head == [
        "#SBATCH --job-name=jetad-x-1",
        f"#SBATCH --chdir={folder}",
        f"#SBATCH --output={folder}/jobs/x/logs/%a.log",
        "#SBATCH --open-mode=append",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=phys",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --gres=gpu:a100:1",
        "#SBATCH --mem=16384M",
        "#SBATCH --time=08:00:00",
        "#SBATCH --signal=B:USR1@120",
        "#SBATCH --array=1-2%2",
        "#SBATCH --requeue",
    ]
    assert "#SBATCH --array=1%2\n" in second
    assert "task=$((2 + $SLURM_ARRAY_TASK_ID))" in second
    assert f"{folder}/jobs/x/logs/2+%a.log" in second
    lines = second.split("==> jobs/x/commands.txt\n")[1].splitlines()
    assert lines[2].startswith("apptainer exec --nv jetad.sif jetad train -b qcd.h5")
    assert lines[2].endswith("--seed 3 --output runs/x/seed-3")


# --- names that are no plain words ---------------------------------------------------------------------


HOSTILE = ["a\ntouch PWN #.h5", "b\n#SBATCH --x\n#.h5", "c'\"`touch PWN`$(touch PWN)&\\.h5", "-v\t\x1b.h5"]


@pytest.mark.parametrize("scheduler", ["slurm", "htcondor"])
def test_the_words_of_a_task_are_data(folder, capsys, scheduler):
    """In the files that are written, and after the script has read them: word by word as they were."""
    for name in HOSTILE:
        shutil.copy("signal.h5", name)
    files = [f"./{name}" for name in HOSTILE]
    words = ["--name", "x", "--files-per-task", 1, "--", "score", *files, "--run", "run", "-o", "out"]
    print_words = "import sys, json; print(json.dumps(sys.argv[1:]))"
    command = ["--option", f"command=python3 -c '{print_words}'"]
    assert jetad("submit", scheduler, *command, "--dry-run", *words) == 0
    out = capsys.readouterr().out
    script = out.split("==> jobs/x/job-1.sh\n")[1].split("\n==> ")[0]
    assert "PWN" not in out.split("==> jobs/x/commands.txt\n")[0]
    lines = out.split("==> jobs/x/commands.txt\n")[1].splitlines()
    assert len(lines) == len(HOSTILE)
    tools = folder / "tools"
    tools.mkdir()
    answer = "12" if scheduler == "slurm" else "12.0 - 12.3"
    for tool in ("sbatch", "condor_submit"):
        (tools / tool).write_text(f"#!/bin/sh\necho {answer}\n")
        (tools / tool).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        assert jetad("submit", scheduler, *command, *words) == 0
    for number, name in enumerate(HOSTILE, 1):
        file = name if not name.startswith("-") else f"./{name}"
        expected = ["score", "--run", "run", "-o", "out", file]
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number), "SLURM_JOB_ID": "7"}
        for text in (script, f"bash() {{ :; }}\n{lines[number - 1]}"):  # the script, and a line by hand
            result = subprocess.run(
                ["bash", "-c", text, "job", "7", str(number)], capture_output=True, text=True, env=environment
            )
            assert json.loads(result.stdout) == expected, result.stderr
    assert not list(folder.rglob("PWN*"))


@pytest.mark.parametrize("scheduler", ["slurm", "htcondor"])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--name", "x\n#SBATCH --uid=0"], "is not a plain word"),
        (["--name", "x\x1b[31m"], "is not a plain word"),
        (["--jobs-dir", "jobs\ntouch PWN"], "folder of the job"),
        (["--account", "a\ntouch PWN"], "option of the job"),
        (["--option", "extra=--x\ntouch PWN"], "of 'extra'|option of the job"),
        (["--option", "{own}=a\rb"], "option of the job"),
    ],
)
def test_control_characters_are_refused(folder, capsys, scheduler, options, problem):
    own = {"slurm": "constraint", "htcondor": "requirements"}[scheduler]
    before = sorted(folder.rglob("*"))
    options = [option.replace("{own}", own) for option in options]
    assert jetad("submit", scheduler, *options, "--", "train", "-b", "qcd.h5", *QUICK) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert re.search(problem, said[-1])
    assert "\x1b" not in "".join(said)
    assert not [line for line in said if line.startswith("touch")]
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("scheduler", ["slurm", "htcondor"])
@pytest.mark.parametrize("name", ["a\ntouch PWN", "b\r", "c\x1b[0m", "d\\"])
def test_a_working_directory_that_no_file_can_hold(folder, capsys, scheduler, name):
    (folder / name).mkdir()
    os.chdir(folder / name)
    for dry in (["--dry-run"], []):
        assert jetad("submit", scheduler, *dry, "--", "train", "-b", "../qcd.h5", *QUICK) == 2
        said = capsys.readouterr().err
        assert "working directory" in said or "folder of the job" in said
        assert "\x1b" not in said
    assert not list(Path().iterdir())


def test_macros_of_a_submit_file_are_not_expanded(folder, capsys):
    htcondor2 = pytest.importorskip("htcondor2")
    here = folder / "x $(HOME) $ENV(PATH)"
    here.mkdir()
    os.chdir(here)
    assert (
        jetad("submit", "htcondor", "--name", "x", "--dry-run", "--", "train", "-b", "../qcd.h5", *QUICK) == 0
    )
    text = capsys.readouterr().out.split("==> jobs/x/job-1.sub\n")[1].split("\n==> ")[0]
    description = htcondor2.Submit(text)
    for key in ("initialdir", "executable", "log", "output"):
        assert description.expand(key).startswith(str(here)), description.expand(key)


@pytest.mark.parametrize("name", ["a b", "a,b", "a;b", "a'b", "$(x)", "a\nb"])
def test_files_to_transfer_have_plain_names(folder, capsys, name):
    shutil.copy("signal.h5", f"{name}.h5")
    words = ["--option", "transfer_files=yes", "--", "score", f"{name}.h5", "--run", "run", "-o", "out"]
    assert jetad("submit", "htcondor", "--dry-run", *words) == 2
    said = capsys.readouterr().err
    assert "transfer_files takes no file names with blanks" in said
    assert "Traceback" not in said


def test_files_are_no_options(folder):
    inputs = [Path("--force"), Path("-o.h5")]
    outputs = [Path("out/--force.scores.h5"), Path("out/-o.scores.h5")]
    tasks = score_tasks(["score"], Footprint(inputs, outputs), files=list(map(str, inputs)), files_per_task=1)
    assert [task.words for task in tasks] == [["score", "./--force"], ["score", "./-o.h5"]]


def test_the_merge_that_is_printed_can_be_typed(folder, capsys, monkeypatch):
    shutil.copy("signal.h5", "a $(touch PWN)\nb.h5")
    words = ["--parts", 2, "--name", "x", "--", "score", "a $(touch PWN)\nb.h5", "--run", "run", "-o", "out"]
    tools = folder / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text("#!/bin/sh\necho 12\n")
    (tools / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    assert jetad("submit", "slurm", *words) == 0
    for part in (1, 2):
        score = [*words[words.index("score") :], "--part", f"{part}/2"]
        assert jetad(*score) == 0
    monkeypatch.setattr(Slurm, "queued", lambda self, job: {1: Queued(""), 2: Queued("")})
    capsys.readouterr()
    assert jetad("status", "jobs/x") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("  jetad merge ")
    parts = subprocess.run(
        ["bash", "-c", f"jetad() {{ printf '%s\\0' \"$@\"; }}\n{line}"], capture_output=True, text=True
    ).stdout.split("\0")
    assert [Path(name).exists() for name in parts[1:3]] == [True, True]
    assert parts[4] == "out/a $(touch PWN)\nb.scores.h5"
    assert not Path("PWN").exists()


# --- failures ------------------------------------------------------------------------------------------


class _Asked(Slurm):
    """What squeue and sacct would say."""

    def __init__(self, queued: Queued | None) -> None:
        self.answer = queued

    def queued(self, job):
        return None if self.answer is None else dict.fromkeys(range(1, len(job.tasks) + 1), self.answer)


@pytest.mark.parametrize(
    ("word", "notes", "log", "state", "failure"),
    [
        (None, [], "", "pending", None),
        (None, ["start n1"], "", "running", None),
        ("PENDING", [], "", "pending", None),
        ("PENDING", ["start n1", "end 85", "requeue"], "", "preempted", None),
        ("RUNNING", ["start n1"], "", "running", None),
        ("OUT_OF_MEMORY", ["start n1", "end 137"], "", "failed", "memory"),
        ("TIMEOUT", ["start n1", "signal TERM"], "", "failed", "time"),
        ("NODE_FAIL", ["start n1"], "", "failed", "node"),
        ("PREEMPTED", ["start n1", "signal TERM", "end 85"], "", "preempted", "stopped"),
        ("CANCELLED", ["start n1", "signal TERM", "end 85"], "", "failed", "cancelled"),
        # without accounting, and forgotten by squeue
        ("", ["start n1", "end 137"], "", "failed", "memory"),
        ("", ["start n1", "end 1"], "jetad: unexpected MemoryError: 8 GiB", "failed", "memory"),
        ("", ["start n1", "end 1"], f"jetad: error: {memory_message(MemoryError())}; t", "failed", "memory"),
        ("", ["start n1", "end 1"], "jetad: error: x.h5: broken", "failed", "failed"),
        ("", ["start n1", "end 2"], "Error: no such option", "failed", "usage"),
        ("", ["start n1", "end 127"], "jetad: command not found", "failed", "setup"),
        ("", ["start n1", "end 139"], "", "failed", "killed"),
        ("", ["start n1", "10:59:50 signal TERM"], "", "failed", "time"),
        ("", ["start n1", "signal TERM"], "", "failed", "killed"),
        ("", ["start n1", "end 85"], "", "preempted", "stopped"),
        ("", ["start n1", "end 0"], "", "failed", "no output"),
        ("", [], "", "failed", "lost"),
    ],
)  # fmt: skip
def test_classes_of_failures(folder, word, notes, log, state, failure):
    tasks = train_tasks(["train", "-b", "qcd.h5"], name="x")
    job = Job.new(
        Path("jobs/x"), scheduler="slurm", kind="train", words=["train"], tasks=tasks,
        options=SlurmOptions(), site="", prefix=["jetad"],
    )  # fmt: skip
    job.create()
    job.record["submissions"].append(
        {"script": "job-1.sh", "job_id": "7", "tasks": [1], "memory": None, "time": 60, "submitted": NOW}
    )
    job.save()
    lines = [f"2026-11-22T{'' if note[2] == ':' else '10:00:00 '}{note}" for note in notes]
    lines = [" ".join([line.split(" ", 1)[0] + "Z", "7", line.split(" ", 1)[1]]) for line in lines]
    Path("jobs/x/state/1.txt").write_text("".join(f"{line}\n" for line in lines))
    Path("jobs/x/logs/1.log").write_text(f"{log}\n")
    (status,) = job_status(Job.open("jobs/x"), _Asked(None if word is None else Queued(word)))
    assert (status.state, status.failure) == (state, failure)


def test_a_record_survives_writing(folder):
    tasks = train_tasks(["train", "-b", "a b.h5", "--set", "network.hidden=[1,2]"], name="x", seeds=2)
    job = Job.new(
        Path("jobs/x"), scheduler="slurm", kind="train", words=["train"], tasks=tasks,
        options=SlurmOptions(memory="2G", extra=("a", "b")), site="", prefix=["jetad"],
    )  # fmt: skip
    job.create()
    again = Job.open("jobs/x")
    assert again.tasks == job.tasks == tasks
    assert SlurmOptions(**again.record["options"]) == SlurmOptions(memory=2048, extra=("a", "b"))
    assert "jetad train -b 'a b.h5'" in Path("jobs/x/commands.txt").read_text()
    Path("jobs/x/job.json").write_text(json.dumps({"format": 1}))
    assert jetad("status", "jobs/x") == 1
