"""Runs ``device_cases.py`` on the simulated device."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import simulated_device
import torch


@pytest.fixture(scope="session")
def library(tmp_path_factory, worker_id):
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the simulated device")
    if tuple(int(n) for n in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip("the simulated device is written for the backends of torch 2.13")
    base = tmp_path_factory.getbasetemp()
    folder = base if worker_id == "master" else base.parent
    with (folder / "simulated_device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of pytest share it
        path = folder / "simulated_device.so"
        return path if path.exists() else simulated_device.build(folder)


@pytest.mark.parametrize("cases", ["numbers", "waits", "not numbers and not waits"])
def test_on_the_simulated_device(library, cases):
    script = Path(__file__).with_name("device_cases.py")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:xdist",
        "-o",
        "addopts=",
        "-q",
        "-k",
        cases,
        str(script),
    ]
    environment = {**os.environ, "SIMULATED_DEVICE": str(library)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
