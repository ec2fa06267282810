"""Fixtures shared by all tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jetad.jets import Jets

torch.set_num_threads(1)  # as the commands do; tests run side by side


def toy_jets(n_jets: int, seed: int = 0, *, mean: int = 30, labels: int | None = None) -> Jets:
    """Jets of falling constituent pT spread around random axes, some of them across phi = pi."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 2 * mean, n_jets)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    n = int(offsets[-1])
    jet = np.repeat(np.arange(n_jets), counts)
    eta = rng.uniform(-2, 2, n_jets)[jet] + rng.normal(0, 0.15, n)
    phi = rng.uniform(-np.pi, np.pi, n_jets)[jet] + rng.normal(0, 0.15, n)
    return Jets(
        pt=rng.exponential(12, n) + 0.5,
        eta=eta,
        phi=(phi + np.pi) % (2 * np.pi) - np.pi,
        mass=np.zeros(n),
        offsets=offsets,
        labels=None if labels is None else np.full(n_jets, labels),
    )


@pytest.fixture
def make_jets():
    """Factory of toy jets: ``make_jets(n_jets, seed=0, mean=30, labels=None)``."""
    return toy_jets


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    """A working folder with jets and a run."""
    import shutil

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JETAD_RUN", raising=False)
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    shutil.copytree(quick_runs / "run", "run")
    return tmp_path


@pytest.fixture(scope="session")
def quick_runs(tmp_path_factory):
    """A folder with runs: ``run``, and ``images`` that sees images alone; copy them to change them."""
    import os
    from pathlib import Path

    from test_cli import QUICK, jetad

    from jetad.writers import write_jets

    folder, before = tmp_path_factory.mktemp("quick_runs"), Path.cwd()
    os.chdir(folder)
    try:
        write_jets(toy_jets(200, 1, labels=0), "qcd.h5")
        assert jetad("train", "--background", "qcd.h5", "-o", "run", *QUICK) == 0
        words = ["--representation", "image", "--method", "ae", *QUICK[:2], *QUICK[4:]]
        assert jetad("train", "--background", "qcd.h5", "-o", "images", *words) == 0
    finally:
        os.chdir(before)
    return folder
