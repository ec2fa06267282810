"""Methods that are fitted in one go, against scikit-learn, SciPy and plain formulas; and what needs truth."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM
from test_cli import jetad
from test_engine import quick, run_of, started

from jetad.config import resolve_config
from jetad.detector import TrainedDetector
from jetad.detector.negatives import draw_negatives
from jetad.detector.reconstructions import reconstruct
from jetad.errors import ConfigError, InputError
from jetad.models import METHODS, model_class
from jetad.models.fitted import FittedModel, by_blocks, covariance, mean, sample, seed_of
from jetad.models.networks.inputs import InputsConfig
from jetad.objectives.base import SignalInputs
from jetad.objectives.classification import Classification
from jetad.plots import plot_history
from jetad.readers import read
from jetad.report.collect import _note_training_files
from jetad.runs import Run
from jetad.training.data import JetStream, class_numbers
from jetad.training.train import train
from jetad.writers import write_jets

D = 5


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def background(n: int = 400, seed: int = 1) -> torch.Tensor:
    """Correlated numbers of different spread around different means, as float32 inputs are."""
    g = rng(seed)
    mixing = torch.randn(D, D, generator=rng(99)) * torch.tensor([3.0, 1.0, 1.0, 0.3, 0.1])[:, None]
    return torch.randn(n, D, generator=g) @ mixing + torch.arange(D)


def fitted(method: str, x: torch.Tensor, classes: torch.Tensor | None = None, seed: int = 5, **settings):
    kind = model_class(method)
    model = kind((x.shape[1],), InputsConfig(), kind.Settings(**settings))
    model.fit(x, rng(seed), classes)
    return model


def energies(model: FittedModel, x: torch.Tensor) -> np.ndarray:
    e = model.energy(x.double())
    assert e.dtype == torch.float64
    return e.numpy()


# --- against other programs ----------------------------------------------------------------------


@pytest.mark.parametrize("components", [1, 3, 0.9])
def test_pca_is_that_of_scikit_learn(components):
    x, fresh = background(), background(50, 2)
    model = fitted("pca", x, components=components)
    theirs = PCA(components).fit(x.double().numpy())
    assert model.basis.shape[1] == theirs.n_components_
    back = theirs.inverse_transform(theirs.transform(fresh.double().numpy()))
    residual = np.square(fresh.double().numpy() - back).sum(axis=1)
    total = x.double().numpy().var(axis=0).sum()
    np.testing.assert_allclose(energies(model, fresh), residual / total, rtol=1e-9)
    np.testing.assert_allclose(model.reconstruct(fresh.double()), back, atol=1e-9)


def test_pca_keeps_something_to_see():
    line = torch.linspace(-1, 1, 100)[:, None] * torch.tensor([[1.0, 2.0, 0.0]])
    model = fitted("pca", line, components=0.9999999)
    assert model.basis.shape == (3, 1)
    off = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 3.0]])
    variance = float(line.double().var(dim=0, correction=0).sum())
    np.testing.assert_allclose(energies(model, off), [0, 9 / variance], atol=1e-6)
    with pytest.raises(ConfigError, match="3 components leave nothing of 3 inputs; keep at most 2"):
        fitted("pca", line, components=3)
    with pytest.raises(ConfigError, match=r"model\.components: expected a whole number, or a share"):
        resolve_config(method="pca", settings=["model.components=2.5"])


def test_gmm_is_that_of_scikit_learn_and_a_density():
    x, fresh = background(), background(50, 2)
    model = fitted("gmm", x, components=3)
    scale = 1e-6 * float(x.double().numpy().var(axis=0).mean())
    theirs = GaussianMixture(3, max_iter=300, reg_covar=scale, random_state=seed_of(rng(5)))
    theirs.fit(x.double().numpy())
    np.testing.assert_allclose(
        energies(model, fresh), -theirs.score_samples(fresh.double().numpy()), rtol=1e-9
    )
    alone = fitted("gmm", x, components=1)
    matrix = np.cov(x.double().numpy().T, bias=True) + scale * np.eye(D)
    normal = multivariate_normal(x.double().numpy().mean(axis=0), matrix)
    np.testing.assert_allclose(energies(alone, fresh), -normal.logpdf(fresh.double().numpy()), rtol=1e-9)
    with pytest.raises(InputError, match="3 jets are too few for 3 Gaussians"):
        fitted("gmm", x[:3], components=3)


def test_unfinished_mixture_says_so(caplog):
    fitted("gmm", background(), components=5, iterations=1)
    assert "still changes after 1 iterations" in caplog.text


@pytest.mark.parametrize("size", [64, 256, 1000])
def test_isolation_forest_is_that_of_scikit_learn(size):
    x, fresh = background(), torch.cat([background(50, 2), 9 * background(50, 3)])
    model = fitted("isolation-forest", x, trees=30, sample=size)
    theirs = IsolationForest(n_estimators=30, max_samples=min(size, 400), random_state=seed_of(rng(5)))
    theirs.fit(x.numpy())
    np.testing.assert_allclose(energies(model, fresh), -theirs.score_samples(fresh.numpy()), rtol=1e-12)
    assert math.isnan(energies(model, torch.full((1, D), math.nan))[0])


@pytest.mark.parametrize("distance", ["kth", "mean"])
def test_neighbours_are_those_of_scikit_learn(distance):
    x, fresh = background(), background(50, 2)
    model = fitted("knn", x, neighbours=7, distance=distance)
    found, _ = NearestNeighbors(n_neighbors=7).fit(x.double().numpy()).kneighbors(fresh.double().numpy())
    want = found[:, -1] if distance == "kth" else found.mean(axis=1)
    np.testing.assert_allclose(energies(model, fresh), want, rtol=1e-9)
    with pytest.raises(InputError, match="5 jets have no 7 neighbours"):
        fitted("knn", x[:5], neighbours=7)


@pytest.mark.parametrize("gamma", ["scale", 0.5])
def test_support_vectors_are_those_of_scikit_learn(gamma):
    x, fresh = background(), background(50, 2)
    model = fitted("one-class-svm", x, nu=0.2, gamma=gamma)
    theirs = OneClassSVM(nu=0.2, gamma=gamma).fit(x.double().numpy())
    ours = energies(model, fresh)
    rho = float(theirs.offset_[0])
    np.testing.assert_allclose(rho * (np.exp(-ours) - 1), theirs.decision_function(fresh.double().numpy()),
                               rtol=1e-9, atol=1e-9 * rho)  # fmt: skip
    far = torch.stack([fresh[0] + 1e3 * step for step in (1, 2)])
    assert np.ptp(theirs.decision_function(far.double().numpy())) == 0  # where the kernel has vanished
    assert 0 < energies(model, far)[0] < energies(model, far)[1]


def test_mahalanobis_distance_is_that_of_scipy():
    x, fresh = background(), background(20, 2)
    inverse = np.linalg.inv(np.cov(x.double().numpy().T, bias=True))
    center = x.double().numpy().mean(axis=0)
    want = [mahalanobis(row, center, inverse) ** 2 for row in fresh.double().numpy()]
    np.testing.assert_allclose(energies(fitted("mahalanobis", x), fresh), want, rtol=1e-9)


def test_distances_to_classes_equal_a_plain_loop():
    x, fresh = background(300), background(20, 2)
    classes = torch.arange(300) % 3
    x = x + 4 * classes[:, None]
    rows, labels = x.double().numpy(), classes.numpy()
    means = [rows[labels == k].mean(axis=0) for k in range(3)]
    residuals = np.concatenate([rows[labels == k] - means[k] for k in range(3)])
    shared = np.linalg.inv(residuals.T @ residuals / 300)
    near = np.array([min(mahalanobis(r, m, shared) ** 2 for m in means) for r in fresh.double().numpy()])
    np.testing.assert_allclose(energies(fitted("mahalanobis", x, classes), fresh), near, rtol=1e-9)
    overall = np.linalg.inv(np.cov(rows.T, bias=True))
    whole = [mahalanobis(r, rows.mean(axis=0), overall) ** 2 for r in fresh.double().numpy()]
    relative = fitted("relative-mahalanobis", x, classes)
    np.testing.assert_allclose(energies(relative, fresh), near - whole, rtol=1e-9, atol=1e-9)
    for useless in (None, torch.zeros(300, dtype=torch.int64)):
        with pytest.raises(ConfigError, match="every score is zero"):
            fitted("relative-mahalanobis", x, useless)


# --- what they share -----------------------------------------------------------------------------

FITTED = [name for name, info in METHODS.items() if info.phases == ("fit",) and "image" in info.inputs]


@pytest.mark.parametrize("method", FITTED)
def test_fit_is_repeatable_bounded_and_blind_to_the_batch(method, tmp_path):
    x, fresh = background(), background(60, 2)
    classes = torch.arange(400) % 2
    before = x.clone()
    settings = {"max_jets": 100} if "max_jets" in model_class(method).Settings.model_fields else {}
    first, second, other = (fitted(method, x, classes, seed=s, **settings) for s in (5, 5, 6))
    assert torch.equal(x, before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    if settings:
        assert any(not torch.equal(v, other.state_dict()[k]) for k, v in first.state_dict().items()
                   if v.shape == other.state_dict()[k].shape)  # fmt: skip
    if hasattr(first, "points"):
        assert len(first.points) <= 100
    whole = energies(first, fresh)
    pieces = [energies(first, part) for part in fresh.split(7)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-9, atol=1e-9)
    kind = model_class(method)
    loaded = kind((D,), InputsConfig(), kind.Settings(**settings))
    loaded.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(energies(loaded, fresh), whole)
    assert np.isnan(energies(first, torch.full((1, D), math.nan))).all()


def test_tables_are_made_in_blocks_and_moments_in_chunks(monkeypatch):
    sizes = []

    def function(part):
        sizes.append(len(part))
        return part.sum(dim=1)

    monkeypatch.setattr("jetad.models.fitted._TABLE", 1000)
    monkeypatch.setattr("jetad.models.fitted._CHUNK", 7)
    x = background(25)
    assert torch.equal(by_blocks(x, 100, function), x.sum(dim=1))
    assert sizes == [10, 10, 5]
    torch.testing.assert_close(mean(x)[0], x.double().mean(dim=0))
    classes = torch.arange(25) % 2
    torch.testing.assert_close(mean(x, classes)[1], x[1::2].double().mean(dim=0))
    torch.testing.assert_close(covariance(x, mean(x)), x.double().T.cov(correction=0))


def test_limited_fits_say_how_many_jets_they_saw(caplog):
    x = background(50)
    chosen = sample(x, 20, rng())
    assert chosen.shape == (20, D)
    assert "fitted to 20 of the 50 training jets" in caplog.text
    places = [int((x == row).all(dim=1).nonzero()) for row in chosen]
    assert places == sorted(set(places))
    assert sample(x, 50, rng()) is x


@pytest.mark.parametrize("method", [name for name, info in METHODS.items() if info.phases == ("fit",)])
def test_graphs_and_figures_of_what_is_fitted(method, tmp_path, make_jets):
    pytest.importorskip("onnxruntime")
    from jetad.export import export_onnx

    run, jets, _ = started(tmp_path, make_jets, quick(method, "features"))
    train(run, jets)
    exported = export_onnx(run, tmp_path / "model.onnx", jets=make_jets(300, seed=4))
    assert max(result.score for result in exported.parity) < 1e-5
    figure = plot_history(run.history())
    assert [axes.get_ylabel() for axes in figure.axes] == ["Held-out energy"]
    with pytest.raises(ConfigError, match=f"method '{method}' draws no negatives"):
        draw_negatives(run)


def test_projections_are_drawn_as_reconstructions(tmp_path, make_jets):
    detector = train(run_of(tmp_path, quick("pca", "image")), make_jets(160, seed=1))
    pair = reconstruct(detector, make_jets(3, seed=2))
    assert pair is not None
    variance = float(detector.members[0].model.variance)
    lost = np.square(pair.inputs - pair.outputs).sum(axis=(1, 2, 3)) / variance
    np.testing.assert_allclose(lost, detector.score(make_jets(3, seed=2)), rtol=1e-4)


# --- classes of the background -------------------------------------------------------------------


def classed(make_jets, n: int = 300):
    """Jets of two kinds told apart by a column, the 40th of which has no constituents."""
    jets = make_jets(n, seed=1)
    empty = np.arange(n) == 40
    counts = np.where(empty, 0, jets.n_constituents)
    keep = ~empty[jets.jet_index]
    return dataclasses.replace(
        jets, pt=jets.pt[keep], eta=jets.eta[keep], phi=jets.phi[keep], mass=jets.mass[keep],
        offsets=np.concatenate([[0], np.cumsum(counts)]), observables={"ttv": np.arange(n) % 2},
    )  # fmt: skip


def test_classes_stay_with_their_jets_in_memory_and_in_a_stream(tmp_path, make_jets, monkeypatch):
    jets = classed(make_jets)
    # the class is the multiplicity: means of the classes are far apart if rows and classes are aligned
    jets = dataclasses.replace(
        jets, observables={"ttv": (jets.n_constituents > np.median(jets.n_constituents)).astype(np.int64)}
    )
    write_jets(jets, tmp_path / "qcd.h5")
    monkeypatch.setattr("jetad.training.data._CHUNK", 37)
    config = quick("mahalanobis", "features", "data.classes=ttv")
    runs = [run_of(tmp_path, config, name) for name in ("memory", "stream")]
    first = train(runs[0], read([tmp_path / "qcd.h5"]))
    train(runs[1], JetStream([tmp_path / "qcd.h5"]))
    assert runs[0].model_hash() == runs[1].model_hash()
    multiplicity = first.members[0].preprocessor.config.observables.index("n_constituents")
    low, high = first.members[0].model.means[:, multiplicity].tolist()
    assert high - low > 1.4  # in units of the spread; 0 if they were mixed up


def test_every_file_can_be_a_class(tmp_path, make_jets, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for k, size in enumerate((20, 60)):
        write_jets(make_jets(150 + 50 * k, k, mean=size), f"{k}.h5")
    words = ["train", "-m", "relative-mahalanobis", "-b", "0.h5", "1.h5", "--representation", "features"]
    assert jetad(*words, "-o", "none") == 2
    assert "needs classes of the background: --set data.classes=COLUMN" in capsys.readouterr().err
    words += ["--set", "data.classes=files", "--max-jets", "300"]
    assert jetad(*words, "-o", "memory") == 0
    assert "jets of each class of 'files': 0: 1" in capsys.readouterr().err
    assert jetad(*words, "-o", "stream", "--set", "data.max_in_memory=0") == 0
    assert Run.open("memory").model_hash() == Run.open("stream").model_hash()
    model = TrainedDetector.from_run(Run.open("memory"), "cpu").members[0].model
    assert model.means[0, 2] < model.means[1, 2] - 1  # multiplicity


def test_classes_that_are_none_are_refused(tmp_path, make_jets):
    def trained(method, column, values):
        jets = dataclasses.replace(make_jets(160, seed=1), observables={"kind": values})
        config = quick(method, "features", f"data.classes={column}")
        return train(run_of(tmp_path, config, f"run{len(list(tmp_path.iterdir()))}"), jets)

    with pytest.raises(InputError, match="no column 'kinds' of classes; closest: kind"):
        trained("mahalanobis", "kinds", np.zeros(160))
    with pytest.raises(InputError, match="has 128 values in 128 background jets; classes are at most 100"):
        trained("mahalanobis", "kind", np.arange(160))
    with pytest.raises(ConfigError, match="needs background of several classes"):
        trained("relative-mahalanobis", "kind", np.zeros(160))
    with pytest.raises(InputError, match="no class for 1 of 3 background jets"):
        class_numbers(np.array([0, 1, math.nan]), "kind")
    assert class_numbers(np.array([5.0, -1.0, 5.0, 2.0]), "kind").tolist() == [2, 0, 2, 1]
    with pytest.raises(ConfigError, match=r"method 'pca' makes no use of classes; remove data.classes"):
        resolve_config(method="pca", settings=["data.classes=kind"])
    with pytest.raises(ConfigError, match=r"needs classes of the background.*--set data.classes=COLUMN"):
        run_of(tmp_path, resolve_config(method="relative-mahalanobis"), "none")


# --- one observable as the score -----------------------------------------------------------------


@pytest.mark.parametrize(("method", "sign"), [("mass", 1), ("mass", -1), ("multiplicity", 1)])
def test_trivial_scores_are_the_observable(tmp_path, make_jets, method, sign):
    detector = train(
        run_of(tmp_path, quick(method, "features", f"model.sign={sign}")), make_jets(160, seed=1)
    )
    fresh = make_jets(30, seed=2)
    value = fresh.jet_mass if method == "mass" else fresh.n_constituents
    np.testing.assert_array_equal(detector.score(fresh), sign * value.astype(np.float32))


def test_trivial_scores_cannot_be_made_of_something_else():
    for settings in (["preprocessing.observables=[pt]"], ["preprocessing.scaling=standard"]):
        with pytest.raises(ConfigError, match="method 'mass' is one observable"):
            resolve_config(method="mass", settings=settings)
    with pytest.raises(ConfigError, match="the score is the value itself"):
        resolve_config(method="mass", settings=["network.components=1"])
    with pytest.raises(ConfigError, match="does not take representation 'image', only: features"):
        resolve_config(method="multiplicity", representation="image")
    with pytest.raises(ConfigError, match=r"model\.sign"):
        resolve_config(method="mass", settings=["model.sign=2"])


# --- the supervised reference --------------------------------------------------------------------


def test_classifier_finds_the_logit_of_two_normals():
    """x ~ N(-a, 1) and N(a, 1): ln p(s | x) / p(b | x) = 2 a x, whatever the numbers of each."""
    torch.manual_seed(0)
    config = quick("classifier", "features").members["features"]
    model = model_class("classifier")((1,), config.network)
    a, g = 0.7, rng(3)
    b, s = torch.randn(4000, 1, generator=g) - a, torch.randn(500, 1, generator=g) + a
    phase = Classification(model, config.training, len(b), SignalInputs(s[:400], s[400:]))
    optimizer = torch.optim.Adam(phase.parameters(), lr=1e-2)
    for step in range(300):
        loss, _ = phase.loss(b[torch.randint(4000, (256,), generator=g)], g)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 300)
    points = torch.linspace(-1.5, 1.5, 7)[:, None]
    with torch.no_grad():
        assert float((model.energy(points) - 2 * a * points[:, 0]).abs().max()) < 0.35
    best, metrics = phase.validate(b[:1000], g)
    assert best == pytest.approx(metrics["val_loss"])
    assert best < math.log(2)


def test_classifier_wants_signal_and_no_other_method_takes_it(tmp_path, make_jets):
    run, jets, signal = started(tmp_path, make_jets, quick("classifier", "features"))
    detector = train(run, jets, signal=signal)
    assert (
        detector.score(make_jets(200, seed=8, mean=60)).mean() > detector.score(make_jets(200, seed=9)).mean()
    )
    assert [entry["path"] for entry in run.provenance["signal_inputs"]] == [str(tmp_path / "top.bin")]
    assert TrainedDetector.from_run(run, "cpu").metadata["method"] == "classifier"
    with pytest.raises(InputError, match="50 signal jets are too few to train and validate"):
        train(run_of(tmp_path, quick("classifier", "features"), "few"), jets, signal=signal[:50])


def test_classifier_from_the_command_line_is_marked_everywhere(tmp_path, make_jets, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_jets(make_jets(200, 1, labels=0), "qcd.h5")
    write_jets(make_jets(200, 2, mean=60, labels=1), "top.h5")
    quickly = ["--representation", "features", "--set", "training.epochs=1", "-o", "run"]
    assert jetad("train", "-m", "classifier", "-b", "qcd.h5", *quickly) == 2
    assert "is a supervised reference and trains on signal, too: give it with" in capsys.readouterr().err
    assert jetad("train", "-b", "qcd.h5", "--signal", "top.h5", *quickly) == 2
    assert "no signal enters the training of method 'nae'" in capsys.readouterr().err
    assert jetad("train", "-m", "classifier", "-b", "qcd.h5", "--signal", "qcd.h5", *quickly) == 2
    assert "is given as background, too" in capsys.readouterr().err
    words = ["train", "-m", "classifier", "-b", "qcd.h5", "--signal", "top.h5"]
    assert jetad(*words, "--monitor", "top.h5", *quickly) == 2
    assert "is a training file" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert jetad(*words, *quickly) == 0
    assert Run.open("run").provenance["signal_inputs"][0]["path"].endswith("top.h5")
    assert jetad("score", "qcd.h5", "top.h5", "--run", "run") == 0
    capsys.readouterr()
    assert jetad("roc", "-b", "qcd.scores.h5", "-s", "top.scores.h5", "--json", "roc.json") == 0
    assert "classifier (supervised)" in capsys.readouterr().out
    assert json.loads((tmp_path / "roc.json").read_text())["name"] == "classifier (supervised)"
    notes: list[str] = []
    _note_training_files({"ceiling": Run.open("run")}, [Path("qcd.h5")], {"top": [Path("top.h5")]}, notes)
    assert [note.split(": ")[0] for note in notes] == ["ceiling", "top.h5", "qcd.h5"]
    assert "method 'classifier' is a supervised reference, trained with signal" in notes[0]
