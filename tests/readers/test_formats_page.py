"""Every command of docs/formats.md runs, on files with the layout that its section describes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from format_examples import FORMATS
from layout_examples import LAYOUTS, make_jets
from test_cli import jetad
from test_edm4hep import event_file
from test_generated import hepmc3, lhe

from jetad.readers import READERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
SECTIONS = {name: text for name, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)}

# name on the page -> who writes such a file
FILES = {
    "pfnano.root": "pfnano",
    "physlite.root": "physlite",
    "treemaker.root": "treemaker",
    "delphes.root": "delphes",
    "jetnet.hdf5": "jetnet",
    "images_table.h5": "images-table",
    "images.h5": "images",
    "images.npz": "images-npz",
    "lhco.h5": "lhco",
    "darkmachines.csv": "darkmachines",
    "any.root": "mapping-root",
}
# and files of published layouts, which have their usual names
MADE = {
    "QG_jets.npz": "energyflow",
    "jetImage_7_150p_0_40.h5": "hls4ml",
    "RunG_batch0.h5": "aspen",
    "train.h5": "atlastop",
    "pp_output_test.h5": "ftag",
    "events_anomalydetection_v2.features.h5": "lhcofeatures",
    "tl_pf_vectors.npy": "top-arrays",
    "jets.csv": "csv-features",
}
TEXTS = {"events.hepmc": hepmc3, "events.lhe": lhe}


def commands(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines]


def test_the_page_has_a_section_with_a_command_for_every_reader():
    assert list(SECTIONS) == list(READERS)
    assert all(commands(text) for text in SECTIONS.values())


@pytest.mark.parametrize("name", SECTIONS)
def test_commands_of_the_page_run(name, tmp_path, monkeypatch, capsys):
    if name in ("lhco", "hepmc", "lhe"):
        pytest.importorskip("fastjet")
    monkeypatch.chdir(tmp_path)
    Path("data_samples").symlink_to(ROOT / "data_samples")
    for file in set(re.findall(r"[\w./]+\.\w+", SECTIONS[name])) & set(FILES):
        written, _ = FORMATS[FILES[file]].write(tmp_path, 150, 1)
        written.rename(file)
    words = set(re.findall(r"[\w./]+\.\w+", SECTIONS[name]))
    for file in words & set(MADE):
        LAYOUTS[MADE[file]][0](tmp_path, make_jets())
    for file in words & set(TEXTS):
        Path(file).write_text(TEXTS[file]())
    if "edm4hep_jets.root" in words:
        event_file(tmp_path)[0].rename("edm4hep_jets.root")
    for yaml in re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", SECTIONS[name], flags=re.M | re.S):
        Path(yaml[0]).write_text(yaml[1])
    for program, *words in commands(SECTIONS[name]):
        assert program == "jetad"
        assert jetad(*words) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        if words[0] == "inspect" and "--suggest-mapping" not in words:
            assert f"format          {name}, " in out
