"""Generated events as text are clustered, with the jets that FastJet gives by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jetad import readers
from jetad.errors import InputError, MissingPackageError
from jetad.readers import clustering

# event -> particles as (pid, status, px, py, pz, E); a neutrino and a decayed top are no constituents
EVENTS = [
    [(211, 1, 100.0, 0.0, 10.0, 100.6), (-211, 1, 50.0, 2.0, 5.0, 50.4), (22, 1, -120.0, 1.0, 0.0, 120.004),
     (12, 1, 500.0, 0.0, 0.0, 500.0), (6, 2, 300.0, 0.0, 0.0, 346.0)],
    [(2212, 1, 0.0, 30.0, 100.0, 104.5)],
]  # fmt: skip
JETS = [[(0, 1), (2,)], [(0,), ()]]  # constituents of the two hardest jets of each event


def hepmc3(unit="GEV"):
    scale = 1000 if unit == "MEV" else 1
    lines = ["HepMC::Version 3.02.06", "HepMC::Asciiv3-START_EVENT_LISTING"]
    for i, event in enumerate(EVENTS):
        lines += [f"E {i} 1 {len(event)}", f"U {unit} MM", f"W {0.5 + i} 1.0"]
        lines += [f"P {k + 1} 0 {pid} " + " ".join(repr(v * scale) for v in p) + f" 0.0 {status}"
                  for k, (pid, status, *p) in enumerate(event)]  # fmt: skip
    return "\n".join([*lines, "HepMC::Asciiv3-END_EVENT_LISTING", ""])


def hepmc2():
    lines = ["", "HepMC::Version 2.06.09", "HepMC::IO_GenEvent-START_EVENT_LISTING"]
    for i, event in enumerate(EVENTS):
        lines += [f"E {i} -1 -1.0 0.1 0.1 0 -1 1 1 2 0 0", "U GEV MM", "V -1 0 0 0 0 0 0 5 0"]
        lines += [f"P {k + 1} {pid} " + " ".join(map(repr, p)) + f" 0.0 {status} 0 0 0 0"
                  for k, (pid, status, *p) in enumerate(event)]  # fmt: skip
    return "\n".join([*lines, "HepMC::IO_GenEvent-END_EVENT_LISTING", ""])


def lhe():
    lines = ['<LesHouchesEvents version="3.0">', "<init>", "2212 2212 6500 6500 0 0 0 0 3 1", "</init>"]
    for i, event in enumerate(EVENTS):
        lines += ["<event>", f" {len(event)} 1 {0.5 + i:.5E} 91.0 0.007 0.118"]
        lines += [f" {pid} {status} 1 2 501 0 " + " ".join(f"{v:.10E}" for v in p) + " 0.0 0. 9."
                  for pid, status, *p in event]  # fmt: skip
        lines += ["</event>"]
    return "\n".join([*lines, "</LesHouchesEvents>", ""])


FILES = {
    "hepmc3": ("hepmc", hepmc3),
    "mev": ("hepmc", lambda: hepmc3("MEV")),
    "hepmc2": ("hepmc", hepmc2),
    "lhe": ("lhe", lhe),
}


@pytest.mark.parametrize("name", FILES)
def test_events_are_clustered(name, tmp_path):
    pytest.importorskip("fastjet")
    reader, text = FILES[name]
    path = tmp_path / "events.txt"
    path.write_text(text())
    assert readers.detect(path) == reader
    jets = readers.read(path)
    assert readers.count(path) == len(jets) == 4
    assert (jets.entry.tolist(), jets.position.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    for i, members in enumerate(m for event in JETS for m in event):
        total = sum((np.array(EVENTS[i // 2][m][2:]) for m in members), np.zeros(4))
        assert jets.n_constituents[i] == len(members)
        if members:
            assert jets.jet_pt[i] == pytest.approx(np.hypot(*total[:2]), rel=1e-5)
            mass2 = total[3] ** 2 - (total[:3] ** 2).sum()
            assert jets.jet_mass[i] == pytest.approx(np.sqrt(max(mass2, 0)), rel=1e-3, abs=1e-2)
    assert jets.charge is not None
    assert jets.charge.tolist() == [1, -1, 0, 1]
    if name != "hepmc2":
        assert jets.weights is not None
        assert jets.weights.tolist() == [0.5, 0.5, 1.5, 1.5]


def test_without_fastjet_there_is_one_sentence(tmp_path, monkeypatch):
    def none(purpose):
        raise MissingPackageError(
            f"FastJet is needed to {purpose}; install it with: pip install 'jetad[simulate]'"
        )

    monkeypatch.setattr(clustering, "import_fastjet", none)
    (tmp_path / "x.hepmc").write_text(hepmc3())
    with pytest.raises(
        MissingPackageError, match=r"cluster these events, which hold no jets; .*jetad\[simulate\]"
    ):
        readers.read(tmp_path / "x.hepmc")


@pytest.mark.parametrize("text", [hepmc3, lhe])
def test_damaged_lines(text, tmp_path):
    (tmp_path / "x.txt").write_text(text().replace("100.6", "x").replace("1.0060000000E+02", "x"))
    with pytest.raises(InputError, match=r"x.txt: .*could not convert"):
        readers.read(tmp_path / "x.txt")
