"""Score files: round trips in every format, streaming, atomicity, and clear words for bad files."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot

from jetad.errors import ConfigError, InputError, MissingPackageError, OutputError
from jetad.scores import COLUMNS, SCORE_SUFFIXES, Scores, ScoreWriter, load_scores

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
SUFFIXES = [
    pytest.param(s, marks=pytest.mark.skipif(s == ".parquet" and not HAS_PYARROW, reason="no pyarrow"))
    for s in SCORE_SUFFIXES
]


def make(n: int, seed: int = 0, **fields: object) -> Scores:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n).astype(np.float32)
    score[::7] = np.nan
    return Scores(
        score=score,
        entry=np.arange(n) // 2 + 2**40,
        jet=np.arange(n) % 2,
        background_efficiency=rng.uniform(size=n),
        label=np.arange(n) % 3 - 1,
        jet_pt=rng.uniform(400, 700, n),
        jet_eta=rng.normal(size=n),
        jet_phi=rng.uniform(-np.pi, np.pi, n),
        jet_mass=rng.uniform(20, 200, n),
        extra={
            "weight": rng.uniform(0.5, 2, n),
            "event": rng.integers(2**60, 2**62, n),
            "is_tight": rng.uniform(size=n) > 0.5,
        },
        **fields,
    )


def assert_same(a: Scores, b: Scores) -> None:
    assert list(a.columns()) == list(COLUMNS) + list(a.extra)
    assert set(a.columns()) == set(b.columns())
    for name, values in a.columns().items():
        np.testing.assert_array_equal(values, b.columns()[name], err_msg=name)
        if name in COLUMNS:
            assert b.columns()[name].dtype == COLUMNS[name]


def test_only_score_is_required() -> None:
    scores = Scores(score=[1, 2])
    assert scores.entry.tolist() == [0, 1]
    assert scores.label.tolist() == [-1, -1]
    assert np.isnan(scores.jet_mass).all()
    assert scores.weight is None
    assert {name: values.dtype for name, values in scores.columns().items()} == COLUMNS


def test_wrong_columns_are_named() -> None:
    with pytest.raises(InputError, match=r"'jet_pt' has shape \(3,\), but there are 2 jets"):
        Scores(score=[1, 2], jet_pt=[1, 2, 3])
    with pytest.raises(InputError, match="'score' has the name of a standard column"):
        Scores(score=[1, 2], extra={"score": np.zeros(2)})
    with pytest.raises(InputError, match="'name' is of type <U1; only numbers"):
        Scores(score=[1, 2], extra={"name": np.array(["a", "b"])})
    with pytest.raises(InputError, match="one number per jet"):
        Scores(score=np.zeros((2, 2)))


def test_rows_and_concatenation() -> None:
    scores = make(10, metadata={"method": "nae", "n_read": 10})
    parts = [scores[:4], scores[4:5], scores[np.arange(5, 10)]]
    assert_same(scores, Scores.concatenate(parts))
    mask = scores.label == 1
    assert len(scores[mask]) == mask.sum()
    assert len(Scores.concatenate([])) == 0
    other = Scores(score=[1.0], metadata={"method": "nae", "n_read": 1})
    both = Scores.concatenate([scores, other])
    assert both.metadata == {"method": "nae"}
    assert both.extra == {}
    with pytest.raises(TypeError, match=r"scores\[i:i \+ 1\]"):
        scores[3]
    assert repr(scores) == "Scores(10 jets, 2 not scored, weight, event, is_tight)"


def test_arguments_are_not_written_to() -> None:
    values = np.arange(3.0)
    Scores(score=values, jet_pt=values)
    np.testing.assert_array_equal(values, [0, 1, 2])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("n", [0, 1, 10, 11, 20, 25])
def test_round_trip_around_the_step(tmp_path: Path, suffix: str, n: int) -> None:
    """Writers in the field lose the row of a one-entry table, or the last of k * step + 1."""
    scores, path = make(n), tmp_path / f"a.scores{suffix}"
    with ScoreWriter(path, step=10) as writer:
        for start in range(0, n, 3):
            writer.append(scores[start : start + 3])
        if n == 0:
            writer.append(scores)
        writer.finish({"method": "nae", "n_read": n, "threshold": 0.5})
    assert writer.n_written == n
    again = load_scores(path)
    assert_same(scores, again)
    if suffix != ".csv":
        assert again.metadata == {"method": "nae", "n_read": n, "threshold": 0.5}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writer_without_rows_makes_an_empty_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with ScoreWriter(path) as writer:
        writer.finish({})
    assert len(load_scores(path)) == 0


def test_root_file_is_a_plain_ttree_with_provenance(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    make(5).save(path)
    with ScoreWriter(path, force=True, step=2) as writer:
        writer.append(make(5))
        writer.finish({"model_hash": "x" * 300})
    with uproot.open(path) as file:
        assert file.classnames(cycle=False) == {"jetad": "TTree", "jetad_provenance": "TObjString"}
        assert file["jetad"].num_entries == 5
        assert file["jetad"]["label"].interpretation.numpy_dtype == np.dtype("int8")
    assert load_scores(path).metadata == {"model_hash": "x" * 300}


def test_hdf5_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make(5, metadata={"method": "ae", "n_read": 5}).save(path)
    with h5py.File(path) as file:
        assert {name: file[name].shape for name in COLUMNS} == dict.fromkeys(COLUMNS, (5,))
        assert file["entry"].dtype == np.int64
        assert file.attrs["method"] == "ae"
        assert file.attrs["n_read"] == 5


def test_csv_reads_with_pandas(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "a.csv"
    scores = make(9)
    scores.save(path)
    frame = pd.read_csv(path)
    assert list(frame.columns) == list(scores.columns())
    np.testing.assert_array_equal(frame["score"].to_numpy(np.float32), scores.score)
    np.testing.assert_array_equal(frame["event"].to_numpy(), scores.extra["event"])


@pytest.mark.parametrize("suffix", [".h5", ".root", ".csv"])
def test_failure_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    make(3).save(path)
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError, match="input"), ScoreWriter(path, force=True, step=2) as writer:
        writer.append(make(5))
        raise FileNotFoundError("input.h5")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_existing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    make(3).save(path)
    with pytest.raises(OutputError, match="exists already"):
        make(3).save(path)
    make(4).save(path, force=True)
    assert len(load_scores(path)) == 4


def test_writer_checks_its_parts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown kind of score file '.txt'; use one of .h5"):
        ScoreWriter(tmp_path / "a.txt")
    with ScoreWriter(tmp_path / "a.h5") as writer:
        writer.append(make(3))
        with pytest.raises(
            InputError, match="column 'weight' is missing here but was float64 in the first part"
        ):
            writer.append(Scores(score=[1.0]))
        with pytest.raises(TypeError, match="metadata 'files' must be a text or a number, found list"):
            writer.finish({"files": []})  # type: ignore[dict-item]
        writer.finish({"n": np.int64(3)})
        with pytest.raises(RuntimeError, match="append after finish"):
            writer.append(make(3))
    assert load_scores(tmp_path / "a.h5").metadata == {"n": 3}


@pytest.mark.skipif(HAS_PYARROW, reason="pyarrow is installed")
def test_parquet_without_pyarrow_gives_the_install_line(tmp_path: Path) -> None:
    with pytest.raises(MissingPackageError, match=r"pip install 'jetad\[parquet\]'"):
        ScoreWriter(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1....")
    with pytest.raises(MissingPackageError, match=r"pip install 'jetad\[parquet\]'"):
        load_scores(tmp_path / "b.parquet")


def test_scores_of_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("label, score,comment,run\n0,0.25,a,9007199254740993\n1,nan,b,2\n")
    scores = load_scores(path)
    assert scores.label.tolist() == [0, 1]
    assert np.isnan(scores.score[1])
    assert scores.entry.tolist() == [0, 1]
    assert scores.extra["run"].tolist() == [9007199254740993, 2]
    assert list(scores.extra) == ["run"]


def test_bad_files_are_told_in_one_sentence(tmp_path: Path) -> None:
    def message(name: str, content: bytes | None) -> str:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_scores(path)
        text = str(caught.value)
        assert str(path) in text
        assert "\n" not in text
        return text

    assert "no such file" in message("none.h5", None)
    assert "is a folder" in message(".", None)
    assert "the file is empty" in message("empty.h5", b"")
    assert "neither HDF5, ROOT" in message("text.h5", b"hello world")
    make(50).save(tmp_path / "a.h5")
    make(50).save(tmp_path / "a.root")
    message("cut.h5", (tmp_path / "a.h5").read_bytes()[:500])
    message("cut.root", (tmp_path / "a.root").read_bytes()[:700])
    assert "no column 'score' (found: pt)" in message("b.csv", b"pt\n1\n")
    assert "no column 'score'" in message("c.csv", b"\n")
    message("d.csv", b"score,jet_pt\n1,2\n3\n")
    message("e.csv", b"score\nhello\n")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["score"], file["label"] = np.zeros(3), np.zeros(4)
    assert "column 'label' has 4 rows, but 'score' has 3" in message("f.h5", None)
    with uproot.recreate(tmp_path / "g.root") as file:
        file.mktree("Events", {"pt": "f4"}).extend({"pt": np.ones(3, "f4")})
    assert "no tree 'jetad' (found: Events); is this a score file?" in message("g.root", None)
