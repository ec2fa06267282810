"""A real SLURM on this machine: controller, one node and munge, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=2000
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
MessageTimeout=5
JobRequeue=1
KillWait=30
ReturnToService=2
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why SLURM cannot be started here."""
    programs = [p for p in ("slurmctld", "slurmd", "munged", "mungekey", "sbatch") if not _which(p)]
    if programs:
        return f"no SLURM on this machine: {', '.join(programs)} missing (apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "SLURM daemons have to be started by root"
    return None


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Cluster:
    """The daemons; ``ask`` runs a command of SLURM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        host = socket.gethostname().split(".")[0]
        self.folder.mkdir(mode=0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        with socket.socket() as one, socket.socket() as other:
            for s in (one, other):
                s.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1], other.getsockname()[1]]
        self.conf.write_text(_CONF.format(host=host, folder=self.folder, ports=ports))
        key = f"{self.folder}/munge.key"
        subprocess.run([_which("mungekey"), "--create", f"--keyfile={key}"], check=True)
        munge = [
            f"--{k}={self.folder}/munge.{v}"
            for k, v in {
                "socket": "sock",
                "key-file": "key",
                "pid-file": "pid",
                "seed-file": "seed",
                "log-file": "log",
            }.items()
        ]
        self._run("munged", "--foreground", "--force", *munge)
        self._until(lambda: (self.folder / "munge.sock").exists(), "munged")
        self.start_controller()
        self._run("slurmd", "-D", "-f", self.conf, "-N", host)
        self._until(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T", check=False), "slurmd")

    def start_controller(self) -> None:
        self._run("slurmctld", "-D", "-f", self.conf)

    def stop(self, name: str) -> None:
        self.daemons[name].terminate()
        self.daemons[name].wait(20)

    def stop_all(self) -> None:
        self.ask("scancel", "--user=root", check=False)
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self.daemons:
                self.stop(name)

    def ask(self, *command: str, check: bool = True) -> str:
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout

    def _run(self, name: str, *words: object) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen([_which(name), *map(str, words)], stdout=log, stderr=log)

    def _until(self, ready, name: str) -> None:
        for _ in range(200):
            if ready():
                return
            time.sleep(0.1)
        said = "\n".join(file.read_text()[-2000:] for file in sorted(self.folder.glob("*.log")))
        pytest.fail(f"{name} did not come up:\n{said}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop_all()
