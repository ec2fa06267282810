"""Every example of docs/python.md runs; jets are taken from what frameworks hold in memory."""

from __future__ import annotations

import re
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from conftest import toy_jets

from jetad.errors import InputError
from jetad.jets import as_jets
from jetad.jets.kinematics import cartesian
from jetad.writers import write_jets

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_examples_of_the_page_run(tmp_path, monkeypatch, quick_runs):
    monkeypatch.chdir(tmp_path)
    write_jets(toy_jets(200, 2, labels=1), "signal.root")
    Path("runs").symlink_to(quick_runs)
    session: dict[str, object] = {}
    text = PAGE.read_text().replace("runs/latest", "runs/run")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 8
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), session)
    with pytest.raises(InputError, match="member 'features' takes rows of shape"):
        session["detector"].score(session["images"])  # type: ignore[attr-defined]
    assert Path("signal.scores.root.ledger.json").exists()


def test_every_kind_of_array_gives_the_same_jets():
    jets = toy_jets(50, 4)
    e, px, py, pz = cartesian(jets.pt, jets.eta, jets.phi, jets.mass)
    counts = jets.n_constituents

    def jagged(**fields):
        return ak.unflatten(ak.zip(fields), counts)

    for data in (
        jets,
        jets.padded(int(counts.max()))[0],
        jets.to_awkward(),
        jagged(pt=jets.pt, eta=jets.eta, phi=jets.phi),
        jagged(E=e, px=px, py=py, pz=pz),
        jagged(t=e, x=px, y=py, z=pz),
    ):
        found = as_jets(data).jets
        np.testing.assert_array_equal(found.n_constituents, counts)
        np.testing.assert_allclose(found.jet_pt, jets.jet_pt, rtol=1e-4)
    events = ak.unflatten(jets.to_awkward(), [0, 20, 0, 30])
    adapted = as_jets(events)
    assert adapted.jets.entry.tolist() == [1] * 20 + [3] * 30
    assert adapted.jets.position.tolist() == [*range(20), *range(30)]
    assert ak.num(adapted.restore(np.arange(50))).tolist() == [0, 20, 0, 30]
    for data, message in (
        ([1, 2], "found list"),
        (np.zeros((3, 4)), r"found \(3, 4\)"),
        (ak.Array([1.0, 2.0]), "found 1 dimensions"),
        (jagged(pt=jets.pt, eta=jets.eta), "need the fields pt, eta, phi.* there are: eta, pt"),
    ):
        with pytest.raises(InputError, match=message):
            as_jets(data)
