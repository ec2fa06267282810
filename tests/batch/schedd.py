#!/usr/bin/env python3
"""Stands in for condor_submit and a schedd with one slot, by the manual: runs the tasks one after the other.

Each task runs in the folder that the submit file says, or in a sandbox with the transferred files; its
environment is empty but for the choice of kernels. An exit with ``checkpoint_exit_code`` brings the
checkpoint into a new sandbox and starts the same command again; ``on_exit_remove`` does it without files.
Events go to the user log.
``$PREEMPT`` names a file that a task makes; when it appears, the task gets SIGTERM, once.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import htcondor2

# all that a task gets of the environment: which kernels compute belongs to the machine
ARITHMETIC = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}

_RUN = "".join(f"\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run {kind} Usage\n" for kind in ("Remote", "Local"))
_USAGE = _RUN + _RUN.replace("Run", "Total")
_BYTES = "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job\n"
_ALL_BYTES = _BYTES + _BYTES.replace("Run", "Total")

# what the user log says, as HTCondor's own parser wants it
SUBMITTED = "000 {id} Job submitted from host: <127.0.0.1:9618?addrs=127.0.0.1-9618>"
STARTED = "001 {id} Job executing on host: <127.0.0.1:9618?addrs=127.0.0.1-9618>\n\tSlotName: slot1@node"
CHECKPOINTED = f"003 {{id}} Job was checkpointed.\n{_RUN}\t0  -  Run Bytes Sent By Job For Checkpoint"
EVICTED = f"004 {{id}} Job was evicted.\n\t(0) CPU times\n{_RUN}{_BYTES}"
REQUEUED = (
    f"004 {{id}} Job was evicted.\n\t(0) Job terminated and was requeued\n{_RUN}{_BYTES}"
    "\t(1) Normal termination (return value 85)\n"
    "\tThe job attribute OnExitRemove expression 'ExitCode =!= 85' evaluated to FALSE"
)
ENDED = f"005 {{id}} Job terminated.\n\t(1) Normal termination (return value {{code}})\n{_USAGE}{_ALL_BYTES}"
KILLED = (
    f"005 {{id}} Job terminated.\n\t(0) Abnormal termination (signal {{code}})\n"
    f"\t(0) No core file\n{_USAGE}{_ALL_BYTES}"
)
REMOVED = "009 {id} Job was aborted.\n\t{code}"
HELD = "012 {id} Job was held.\n\t{code}\n\tCode 34 Subcode 0"


def main(submit_file: str) -> None:
    description = htcondor2.Submit(Path(submit_file).read_text())
    log = Path(description["log"])
    cluster = 1 + max(
        (int(line[5:].split(".")[0]) for line in _lines(log) if line.startswith("000 (")), default=100
    )
    rows = list(description.itemdata())

    def event(process: int, text: str, code: object = "") -> None:
        name = f"({cluster:03d}.{process:03d}.000) {time.strftime('%Y-%m-%d %H:%M:%S')}"
        with log.open("a") as file:
            file.write(text.format(id=name, code=code).rstrip() + "\n...\n")

    for process in range(len(rows)):
        event(process, SUBMITTED)
    for process, row in enumerate(rows):
        _run(description, row, cluster, lambda *words, process=process: event(process, *words))
    print(f"{cluster}.0 - {cluster}.{len(rows) - 1}")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"$({key})", value)
    return text


def _run(description, row: dict[str, str], cluster: int, event) -> None:
    values = {key: value.strip() for key, value in row.items()} | {"ClusterId": str(cluster)}
    get = {key: _filled(value, values) for key, value in description.items()}
    home = Path(get["initialdir"])
    transfer = get["should_transfer_files"] == "YES"
    spool: Path | None = None
    preempt = os.environ.pop("PREEMPT", None)
    while True:
        folder = Path(tempfile.mkdtemp()) if transfer else home
        if transfer:
            for name in get["transfer_input_files"].split(","):
                source = Path(name)
                _copy(home / source, folder / (source.name if source.is_absolute() else source))
            if spool is not None:
                _copy(spool, folder)
        event(STARTED)
        with open(get["output"], "ab") as out, open(get["error"], "ab") as error:
            process = subprocess.Popen(
                [get["executable"], *get["arguments"].split()], cwd=folder, stdout=out, stderr=error,
                env={"PATH": "/usr/bin:/bin", **ARITHMETIC}, start_new_session=True,
            )  # fmt: skip
            while process.poll() is None:
                if preempt and (folder / preempt).exists():
                    preempt = None
                    process.send_signal(signal.SIGTERM)
                time.sleep(0.01)
        code = process.returncode
        if transfer and code == int(get["checkpoint_exit_code"]):
            spool = Path(tempfile.mkdtemp())
            for name in get["transfer_checkpoint_files"].split(","):
                _copy(folder / name, spool / name)
            event(CHECKPOINTED)
            continue
        if not transfer and get["on_exit_remove"] == "ExitCode =!= 85" and code == 85:
            event(REQUEUED)
            continue
        break
    if transfer:
        for name in get["transfer_output_files"].split(","):
            if not (folder / name).exists():
                event(HELD, f"Transfer output files failure: {name} is missing")
                return
            _copy(folder / name, home / name)
    if code >= 0:
        event(ENDED, code)
    else:
        event(KILLED, -code)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


if __name__ == "__main__":
    main(sys.argv[-1])
