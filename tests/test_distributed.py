"""Several processes train what one process trains, whoever dies or is told to stop in between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from distributed_worker import CASES, STEPS, StopAfter, double_precision, trained

from jetad.distributed.process_group import Launch, Ranks, find_launch
from jetad.distributed.shared_batch import SharedGenerator, integers, length, normal, part, share, uniform
from jetad.errors import ConfigError
from jetad.runs import Run
from jetad.writers import write_jets
from jetad_cli.main import cli

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
STEP = {
    "SLURM_STEP_ID": "3", "SLURM_JOB_ID": "1234", "SLURM_NTASKS": "4", "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0", "SLURM_NODELIST": "gpu[07-08,11],big1",
}  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    mine = {k: v for k, v in os.environ.items() if k not in names and not k.startswith("SLURM_")}
    return {**mine, "OMP_NUM_THREADS": "1", **more}


def start_step(command: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes in the environment that srun gives."""
    variables = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NODELIST": "localhost"}
    variables["SLURM_JOB_ID"] = str(time.monotonic_ns() // 1000)  # of which follows the port
    return [
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(**variables, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)),
        )
        for i in range(2)
    ]  # fmt: skip


# --- who is there -------------------------------------------------------------------------------------


def test_launchers_are_understood():
    torchrun = {
        "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1",
    }  # fmt: skip
    assert find_launch(torchrun) == Launch(5, 8, 1, "env://")
    port = 12_000 + 31 * 1234 + 3 - 20_000
    assert find_launch(STEP) == Launch(2, 4, 0, f"tcp://gpu07:{port}")
    assert find_launch(STEP | {"SLURM_JOB_ID": "1235"}).meeting_point != f"tcp://gpu07:{port}"
    assert find_launch(STEP | {"MASTER_PORT": "99"}).meeting_point == "tcp://gpu07:99"
    assert find_launch(torchrun | STEP).rank == 5  # torchrun inside srun


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("vm", "vm"),
        ("a1,a2", "a1"),
        ("r[0-1]n[3,5]-ib,x", "r0n3-ib"),
        ("n[007]", "n007"),
        ("n1,n[2-3]", "n1"),
    ],
)
def test_first_task_is_on_the_first_node(nodes, host):
    launch = find_launch(STEP | {"SLURM_STEP_NODELIST": nodes})
    assert launch.meeting_point.startswith(f"tcp://{host}:")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {k: v for k, v in STEP.items() if k != "SLURM_STEP_ID"},  # a batch script of a job with four tasks
        STEP | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
    ],
    ids=["plain", "batch script", "one task", "torchrun of one"],
)
def test_one_process_stays_alone(environ):
    assert find_launch(environ) is None


@pytest.mark.parametrize(("visible", "index"), [(8, 3), (1, 0)])
def test_each_rank_has_a_gpu(monkeypatch, visible, index):
    """All GPUs of the machine are visible, or the launcher shows each task its own."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert Ranks(11, 16, local_rank=3).device(torch.device("cuda")) == torch.device("cuda", index)
    assert Ranks().device(torch.device("cuda")) == torch.device("cuda")
    assert Ranks(1, 2).device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("size", [2, 3, 5])
def test_rows_meet_the_numbers_of_one_process(size):
    n, blocks = 31, 4

    def drawn(ranks: Ranks) -> tuple[torch.Tensor, ...]:
        generator = SharedGenerator(torch.device("cpu"), ranks)
        generator.manual_seed(7)
        x = share(torch.arange(float(n)), generator)
        first = normal((len(x), 2), generator, device=x.device)
        repeated = uniform((blocks * len(x),), generator, device=x.device).view(blocks, -1).T
        with part(5, 18, generator) as rows:
            some = integers(1000, x[rows].shape, generator, device=x.device)
            assert length(x[rows], generator) == 13
            here = x[rows]
        last = normal((len(x),), generator, device=x.device)
        return x, first, repeated, last, here, some

    alone = drawn(Ranks())
    each = [drawn(Ranks(rank, size)) for rank in range(size)]
    for k in (0, 1, 2, 3):
        together = torch.empty_like(alone[k])
        for rank in range(size):
            together[rank::size] = each[rank][k]
        assert torch.equal(together, alone[k])
    order = torch.cat([e[4] for e in each]).argsort()
    assert torch.equal(torch.cat([e[4] for e in each])[order], torch.arange(5.0, 18.0))
    assert torch.equal(torch.cat([e[5] for e in each])[order], alone[5])


def test_more_processes_than_rows_are_refused():
    with pytest.raises(ConfigError, match="32 processes are too many for batches of 31 jets"):
        trained("ae", "", Ranks(0, 32))


# --- two processes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes find; one training they take over from one process."""
    folder = tmp_path_factory.mktemp("ranks")
    with double_precision():
        torch.save(trained("nae", "omi", Ranks(), stop=StopAfter(STEPS + 8)), folder / "alone.pt")
    worker = Path(__file__).with_name("distributed_worker.py")
    tasks = start_step([sys.executable, str(worker), str(folder)], folder)
    messages = [task.communicate(timeout=300)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], messages
    found = torch.load(folder / "ranks.pt")
    assert found["size"] == 2
    return found


def assert_same(one, other):
    for name, value in one["weights"].items():
        torch.testing.assert_close(other["weights"][name], value, rtol=1e-10, atol=1e-12, msg=name)
    for a, b in zip(one["history"][-len(other["history"]) :], other["history"], strict=True):
        numbers = {k: v for k, v in a.items() if k != "phase"}
        assert a.keys() == b.keys()
        assert {k: b[k] for k in numbers} == pytest.approx(numbers, rel=2e-6, abs=1e-9)  # seven digits


@pytest.mark.parametrize(("method", "kind"), CASES, ids=lambda name: name or "-")
def test_two_processes_equal_one(two, method, kind):
    with double_precision():
        alone = trained(method, kind, Ranks())
    together = two["whole"][f"{method} {kind}"]
    assert len(alone["history"]) >= 5
    assert_same(alone, together)


def test_another_number_of_processes_goes_on(two):
    with double_precision():
        uninterrupted = trained("nae", "omi", Ranks())
        assert 0 < two["stopped"]["total_step"] < uninterrupted["history"][-1]["step"]
        assert_same(uninterrupted, trained("nae", "omi", Ranks(), resume=two["stopped"]))
    assert_same(uninterrupted, two["resumed"])
    assert len(two["resumed"]["history"]) < len(uninterrupted["history"])


# --- the command --------------------------------------------------------------------------------------


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers(launcher: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes of torchrun in /proc")
def test_killed_then_stopped_then_alone_equals_uninterrupted(tmp_path, make_jets, monkeypatch):
    write_jets(make_jets(700, seed=1), tmp_path / "qcd.h5")
    settings = ["epochs=20", "batch_size=32", "validate_every=20", "checkpoint_minutes=0"]
    options = ["--method", "ae", "--representation", "features", "--device", "cpu"]
    options += [word for setting in settings for word in ("--set", f"training.{setting}")]
    command = [sys.executable, "-m", "jetad", "-q", "train", "--background", "qcd.h5", *options, "--output"]
    run = Run(tmp_path / "run")
    # one process of two is killed
    job = subprocess.Popen([*TORCHRUN, *command[1:], str(run.path)], cwd=tmp_path, env=environment(),
 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_for((run.path / "checkpoint.pt").exists, job)
    os.kill(workers(job.pid)[-1], signal.SIGKILL)
    _, messages = job.communicate(timeout=60)
    assert job.returncode == 1
    assert re.search(r"jetad: error: rank 0 on \S+: another of the 2 processes .* has ended", messages)
    assert not run.finished
    assert run.load_checkpoint()[1] == []

    # two processes as srun starts them; the second is told to stop
    at = run.load_checkpoint()[0]["trainer"]["total_step"]
    tasks = start_step([*command, str(run.path)], tmp_path)
    wait_for(lambda: run.history()[-1]["step"] > at + 20, tasks[0])
    tasks[1].send_signal(signal.SIGUSR1)
    first, second = (task.communicate(timeout=60)[1] for task in tasks)
    assert [task.returncode for task in tasks] == [85, 85]
    assert "stopped by SIGUSR1 after step" in first
    assert second == ""
    assert at < run.load_checkpoint()[0]["trainer"]["total_step"] < 17 * 20

    # one process goes on to the end
    whole = Run(tmp_path / "whole")
    monkeypatch.chdir(tmp_path)
    for one in (run, whole):
        done = CliRunner().invoke(cli, [*command[3:], str(one.path)])
        assert done.exit_code == 0, done.output
    assert run.finished
    weights, wanted = run.load_weights(), whole.load_weights()
    for name, value in wanted.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert [line["step"] for line in run.history()] == [line["step"] for line in whole.history()]
