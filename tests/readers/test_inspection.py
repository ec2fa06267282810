"""`jetad inspect` and `jetad readers`, and the numbers behind them."""

from __future__ import annotations

import json
import sys

import awkward as ak
import numpy as np
import pytest
from click.testing import CliRunner
from reader_examples import (
    LAYOUTS,
    jetclass_arrays,
    landscape_frame,
    make_example,
    write_root,
    write_table,
)

from jetad import readers
from jetad.errors import InputError, OutputError
from jetad.jets import Jets
from jetad.jets.hashing import jet_hashes
from jetad.plots.mean_images import draw_mean_images, save_mean_images
from jetad.readers.inspection import find_overlaps, inspect_file
from jetad_cli.main import cli, main


def slots(i: int) -> list[str]:
    return [f"{c}_{i}" for c in ("E", "PX", "PY", "PZ")]


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "qcd.h5", landscape_frame(make_example(40)))


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("step", [3, 100])
def test_numbers_of_a_tidy_file(layout, step, tmp_path):
    example = make_example(40)
    path = LAYOUTS[layout](tmp_path, example)
    jets = readers.read(path)
    found = inspect_file(path, step=step)
    assert found.n_jets == 40
    assert found.labels == {
        "background": int((example.labels == 0).sum()),
        "signal": int((example.labels == 1).sum()),
        "unknown": 0,
    }
    for name in ("jet_pt", "jet_eta", "jet_phi", "jet_mass", "n_constituents"):
        values = getattr(jets, name).astype(float)
        np.testing.assert_allclose(
            found.spreads[name], (values.min(), values.mean(), values.max()), rtol=1e-12
        )
    assert (found.n_not_finite, found.n_empty, found.n_unsorted, found.n_duplicates) == (0, 0, 0, 0)
    if path.suffix == ".h5":
        assert found.warnings == ()
        assert found.padding_fraction == pytest.approx(1 - example.counts.sum() / (40 * 12))
        assert found.n_full == 0
    else:  # its jet_pt are arbitrary
        assert "times the pT of the summed constituents" in found.warnings[0]
        assert found.padding_fraction is found.n_full is None


def test_what_is_wrong_is_counted(tmp_path):
    example = make_example(10, min_constituents=4, max_constituents=4)
    frame = landscape_frame(example, n_slots=4)
    columns = [name for i in range(4) for name in slots(i)]
    frame.loc[1, "PX_1"] = np.nan
    frame.loc[2, "E_0"] = np.inf
    frame.loc[3, columns] = 0.0
    frame.loc[4, columns] = 0.0
    frame.loc[5, slots(0) + slots(3)] = frame.loc[5, slots(3) + slots(0)].to_numpy()
    frame.loc[6, columns] = frame.loc[7, columns]
    frame.loc[8, columns] = frame.loc[7, slots(3) + slots(1) + slots(0) + slots(2)].to_numpy()
    frame.loc[9, "is_signal_new"] = -1
    found = inspect_file(write_table(tmp_path / "x.h5", frame), step=3)
    assert found.n_not_finite == 2
    assert found.n_empty == 2
    assert found.n_unsorted == 2
    assert found.n_duplicates == 2
    assert found.n_full == 8
    assert found.labels is not None
    assert found.labels["unknown"] == 1
    text = "\n".join(found.warnings)
    for part in (
        "2 jets of 10 with NaN or infinite constituents: their score will be NaN",
        "2 jets of 10 without constituents",
        "2 jets of 10 repeat an earlier one",
        "2 jets of 10 with constituents not in falling pT",
        "8 jets of 10 fill all 4 slots",
        "1 jet of 10 have truth",
    ):
        assert part in text
    assert found.spreads["jet_pt"].maximum < 1e4


def test_jet_pt_of_another_unit_is_noticed(tmp_path):
    example = make_example(20)
    arrays = jetclass_arrays(example)
    arrays["jet_pt"] = readers.read(write_root(tmp_path / "x.root", arrays)).jet_pt * 1000
    found = inspect_file(write_root(tmp_path / "y.root", arrays))
    assert found.warnings == ("the file's jet_pt is 1e+03 times the pT of the summed constituents (median)",)


def test_mev_is_a_warning(tmp_path):
    example = make_example(20)
    example.momenta *= 1000
    found = inspect_file(write_table(tmp_path / "x.h5", landscape_frame(example)))
    assert found.summary.units == "MeV?"
    assert "look like MeV" in found.warnings[0]


def test_overlap_between_formats(tmp_path):
    train, test = make_example(30, seed=1), make_example(20, seed=2)
    mixed = landscape_frame(train).iloc[[3, 4, 5, 5]]
    files = [
        write_root(tmp_path / "train.root", jetclass_arrays(train)),
        write_root(tmp_path / "test.root", jetclass_arrays(test)),
        write_table(tmp_path / "mixed.h5", mixed),
    ]
    overlaps = find_overlaps([inspect_file(f) for f in files])
    assert [(o.first, o.second, o.n_jets) for o in overlaps] == [(str(files[0]), str(files[2]), 3)]


def test_hashes_against_a_plain_loop(make_jets):
    jets = make_jets(50)
    jets = jets[[0, 1, 2, 1, *range(3, 50)]]
    shuffled = Jets.from_lists(
        [
            np.random.default_rng(i).permutation(np.stack([jets.pt, jets.eta, jets.phi, jets.mass], 1)[a:b])
            for i, (a, b) in enumerate(zip(jets.offsets[:-1], jets.offsets[1:], strict=True))
        ]
    )
    hashes = jet_hashes(jets)
    np.testing.assert_array_equal(hashes, jet_hashes(shuffled))
    np.testing.assert_array_equal(hashes[:7], jet_hashes(jets[:7]))
    sets = [
        frozenset(zip(jets.pt[a:b].tolist(), jets.eta[a:b].tolist(), strict=True))
        for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    ]
    assert len(set(hashes.tolist())) == len(set(sets)) == 50
    empty = Jets.from_lists([[], [(1.0, 0.0, 0.0, 0.0)], []])
    assert (jet_hashes(empty) == 0).tolist() == [True, False, True]


# --- picture --------------------------------------------------------------------------------------


def test_mean_image_is_drawn_over_its_axes(tmp_path, table):
    frame = landscape_frame(make_example(3))
    frame[[c for c in frame.columns if c.startswith(("E_", "P"))]] = 0.0
    empty = write_table(tmp_path / "empty_jets.h5", frame)
    figure = draw_mean_images([table, empty])
    axes = [a for a in figure.axes if a.get_xlabel()]
    assert [a.get_title() for a in axes] == ["qcd.h5 (40 jets)", "empty_jets.h5 (0 jets)"]
    (image,) = axes[0].images
    assert np.allclose(image.get_extent(), (-0.58, 0.58, -0.7, 0.7))
    assert image.get_array().shape == (40, 40)
    assert float(image.get_array().sum()) == pytest.approx(1.0, abs=0.01)
    assert not axes[1].images


def test_figure_kinds_and_existing_figures(tmp_path, table):
    save_mean_images([table], tmp_path / "x.pdf")
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(OutputError, match="exists already"):
        save_mean_images([table], tmp_path / "x.pdf")
    save_mean_images([table], tmp_path / "x.pdf", force=True)
    with pytest.raises(OutputError, match=r"no figure of kind '\.docx'; use one of: .*pdf, .*png"):
        save_mean_images([table], tmp_path / "x.docx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["qcd.h5", "x.pdf"]


# --- commands -------------------------------------------------------------------------------------


def test_inspect_prints_a_page(table):
    result = CliRunner().invoke(cli, ["inspect", str(table)])
    assert result.exit_code == 0
    assert result.stderr == ""
    for part in (
        str(table),
        "landscape, HDF5 (pandas table), 'table'",
        "GeV",
        "54: E_0 ... E_11, PX_0 ... PX_11, PY_0",
        "(from is_signal_new)",
        "12 constituents per jet",
        "jet mass [GeV]",
    ):
        assert part in result.stdout


def test_inspect_json_of_several_files(tmp_path, table, monkeypatch):
    write_root(tmp_path / "qcd.root", jetclass_arrays(make_example(40)))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["inspect", "*.h5", "qcd.root:tree", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [f["file"] for f in found["files"]] == ["qcd.h5", "qcd.root:tree"]
    assert [f["n_jets"] for f in found["files"]] == [40, 40]
    assert found["overlaps"] == [{"first": "qcd.h5", "second": "qcd.root:tree", "n_jets": 40}]
    text = CliRunner().invoke(cli, ["inspect", "*.h5", "qcd.root"]).stdout
    assert "40 distinct jets stand in both qcd.h5 and qcd.root" in text


def test_inspect_json_without_jets_is_valid(tmp_path):
    path = write_table(tmp_path / "x.h5", landscape_frame(make_example(3))[:0], format="fixed")
    result = CliRunner().invoke(cli, ["inspect", str(path), "--json"])
    assert result.exit_code == 0
    (found,) = json.loads(result.stdout)["files"]
    assert found["n_jets"] == 0
    assert found["spreads"]["jet_pt"] == {"minimum": None, "mean": None, "maximum": None}
    assert "holds zero jets" in found["warnings"]
    assert "holds zero jets" in CliRunner().invoke(cli, ["inspect", str(path)]).stdout


def test_inspect_plot(tmp_path, table):
    figure = tmp_path / "mean.png"
    result = CliRunner().invoke(cli, ["inspect", str(table), "--plot", str(figure)])
    assert result.exit_code == 0
    assert result.stderr == f"wrote {figure}\n"
    assert figure.read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(cli, ["inspect", str(table), "--plot", str(figure)])
    assert isinstance(again.exception, OutputError)


def exit_of(args, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["jetad"])
    with pytest.raises(SystemExit) as caught:
        main(args)
        sys.exit(0)
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_inspect_exit_codes(tmp_path, table, capsys, monkeypatch):
    assert exit_of(["inspect", str(table)], capsys, monkeypatch)[0] == 0
    code, out, err = exit_of(["inspect", str(tmp_path / "none.h5")], capsys, monkeypatch)
    assert (code, out) == (1, "")
    assert err.startswith("jetad: error: ")
    assert err.count("\n") == 1
    (tmp_path / "cut.h5").write_bytes(table.read_bytes()[:5000])
    code, _, err = exit_of(["inspect", str(tmp_path / "cut.h5")], capsys, monkeypatch)
    assert code == 1
    assert "truncated" in err
    assert "Traceback" not in err
    assert exit_of(["inspect"], capsys, monkeypatch)[0] == 2
    assert exit_of(["inspect", "--reader", "x", str(table)], capsys, monkeypatch)[0] == 2


def test_readers_are_listed():
    result = CliRunner().invoke(cli, ["readers"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    first = [line.split()[0] for line in lines if not line.startswith(" ")]  # what goes on is indented
    assert first == list(readers.READERS)
    listed = json.loads(CliRunner().invoke(cli, ["readers", "--json"]).stdout)
    assert [entry["name"] for entry in listed] == list(readers.READERS)
    assert all(entry["summary"] for entry in listed)


def test_broken_content_is_an_input_error(tmp_path):
    arrays = jetclass_arrays(make_example(10))
    arrays["part_px"] = ak.Array([["a"]] * 10)
    with pytest.raises(InputError, match="part_px"):
        inspect_file(write_root_strings(tmp_path / "x.root", arrays))


def write_root_strings(path, arrays):
    import uproot

    with uproot.recreate(path) as file:
        file.mkrntuple("tree", ak.Array(arrays))
    return path


def test_a_cut_that_leaves_no_image_is_no_fault(tmp_path, capsys):
    np.savez(tmp_path / "images.npz", np.random.default_rng(1).random((30, 40, 40), dtype=np.float32))
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "images.npz"), "--select", "position < 0"])
    assert result.exit_code == 0, result.output
