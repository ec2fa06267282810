"""Substructure observables against loops, other implementations, and their symmetries."""

from __future__ import annotations

import itertools
import json
import math
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from jetad.errors import ConfigError, InputError, MissingPackageError
from jetad.jets import Jets
from jetad.jets.kinematics import cartesian
from jetad.preprocessing import preprocessor_from_dict
from jetad.preprocessing.features import OBSERVABLES, FeatureConfig, JetFeatures, observable
from jetad.preprocessing.substructure import CLUSTERED, PAIRWISE
from jetad.readers import read

SAMPLES = Path(__file__).parents[1] / "data_samples"

# edges of the graph of each energy-flow polynomial
GRAPHS = {
    "efp_d1_0": [(0, 1)],
    "efp_d2_0": [(0, 1), (0, 1)],
    "efp_d2_1": [(0, 1), (1, 2)],
    "efp_d3_0": [(0, 1), (0, 1), (0, 1)],
    "efp_d3_1": [(0, 1), (1, 2), (1, 2)],
    "efp_d3_2": [(0, 1), (1, 2), (2, 0)],
    "efp_d3_3": [(0, 1), (0, 2), (0, 3)],
    "efp_d3_4": [(0, 1), (1, 2), (2, 3)],
}


@pytest.fixture
def fastjet():
    pytest.importorskip("fastjet")


def with_values(jets: Jets, **values: np.ndarray) -> Jets:
    fields = {name: values.get(name, getattr(jets, name)) for name in ("pt", "eta", "phi", "mass")}
    return Jets(**fields, offsets=jets.offsets)


def massive_jets(n_jets: int, seed: int = 0, *, mean: int = 6) -> Jets:
    """Toy jets whose constituents have masses, a third of them none."""
    from conftest import toy_jets

    jets = toy_jets(n_jets, seed, mean=mean)
    rng = np.random.default_rng(seed)
    return with_values(jets, mass=np.maximum(rng.uniform(-0.25, 0.5, len(jets.pt)), 0))


def parts(jets: Jets, j: int) -> list[tuple[float, float, float]]:
    """(pt, rapidity, phi) of the constituents of one jet, from (E, pz)."""
    rows = []
    for i in range(jets.offsets[j], jets.offsets[j + 1]):
        pt, eta, phi, m = (float(getattr(jets, k)[i]) for k in ("pt", "eta", "phi", "mass"))
        pz = pt * math.sinh(eta)
        energy = math.sqrt(pt * pt + pz * pz + m * m)
        rows.append((pt, 0.5 * math.log((energy + pz) / (energy - pz)), phi))
    return rows


def distance(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    return math.hypot(a[1] - b[1], math.remainder(a[2] - b[2], 2 * math.pi))


def test_energy_flow_polynomials_and_correlators_equal_their_sums():
    jets = massive_jets(25, mean=4)
    found = dict(zip(PAIRWISE, observable(jets, tuple(PAIRWISE)).T, strict=True))
    for j in range(len(jets)):
        rows = parts(jets, j)
        total = sum(p[0] for p in rows)
        z = [p[0] / total for p in rows]
        r = [[distance(a, b) for b in rows] for a in rows]
        for name, edges in GRAPHS.items():
            vertices = 1 + max(max(edge) for edge in edges)
            wanted = sum(
                math.prod(z[i] for i in at) * math.prod(r[at[a]][at[b]] for a, b in edges)
                for at in itertools.product(range(len(rows)), repeat=vertices)
            )
            assert found[name][j] == pytest.approx(wanted, rel=1e-9, abs=1e-15), name
        pairs, triples = (itertools.combinations(range(len(rows)), k) for k in (2, 3))
        e2 = sum(z[a] * z[b] * r[a][b] for a, b in pairs)
        e3 = sum(z[a] * z[b] * z[c] * r[a][b] * r[a][c] * r[b][c] for a, b, c in triples)
        assert found["c2"][j] == pytest.approx(e3 / e2**2 if e2 else 0, rel=1e-9)
        assert found["d2"][j] == pytest.approx(e3 / e2**3 if e2 else 0, rel=1e-9)


def test_all_graphs_of_three_edges_are_there():
    """Connected multigraphs of up to three edges without loops, up to relabelling, by enumeration."""
    seen = set()
    for d in (1, 2, 3):
        pairs = list(itertools.combinations(range(d + 1), 2))
        for edges in itertools.combinations_with_replacement(pairs, d):
            vertices = sorted({v for edge in edges for v in edge})
            reached = {vertices[0]}
            for _ in edges:
                reached |= {v for edge in edges if reached & set(edge) for v in edge}
            if reached == set(vertices) and vertices == list(range(len(vertices))):
                seen.add(canonical(edges))
    assert seen == {canonical(edges) for edges in GRAPHS.values()}
    assert set(GRAPHS) == {name for name in PAIRWISE if name.startswith("efp")}


def canonical(edges) -> tuple:
    n = 1 + max(max(edge) for edge in edges)
    return min(
        tuple(sorted(tuple(sorted((order[a], order[b]))) for a, b in edges))
        for order in itertools.permutations(range(n))
    )


def test_correlators_are_those_of_fastjet(fastjet, make_jets):
    import awkward as ak

    from jetad.extras import import_fastjet

    jets = make_jets(60, 3)
    jets = jets[jets.n_constituents > 2]
    fj = import_fastjet("test")
    energy_gev, px, py, pz = cartesian(jets.pt, jets.eta, jets.phi, jets.mass)
    events = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": energy_gev}), jets.n_constituents)
    sequence = fj.ClusterSequence(events, fj.JetDefinition(fj.cambridge_algorithm, 1000.0))
    for name in ("c2", "d2"):
        other = sequence.exclusive_jets_energy_correlator(njets=1, func=name).to_numpy()
        np.testing.assert_allclose(observable(jets, (name,))[:, 0], other, rtol=1e-9)


def soft_drop_by_loop(jets: Jets, j: int) -> float:
    """Cluster the nearest pair until one is left, then undo from the top until the softer has 10 %."""
    nodes = []
    for pt, y, phi in parts(jets, j):
        i = jets.offsets[j] + len(nodes)
        m = math.hypot(pt, float(jets.mass[i]))
        p = np.array([m * math.cosh(y), pt * math.cos(phi), pt * math.sin(phi), m * math.sinh(y)])
        nodes.append((p, None))

    def coordinates(p):
        return (
            math.hypot(p[1], p[2]),
            0.5 * math.log((p[0] + p[3]) / (p[0] - p[3])),
            math.atan2(p[2], p[1]),
        )

    while len(nodes) > 1:
        a, b = min(
            itertools.combinations(range(len(nodes)), 2),
            key=lambda ab: distance(coordinates(nodes[ab[0]][0]), coordinates(nodes[ab[1]][0])),
        )
        merged = (nodes[a][0] + nodes[b][0], (nodes[a], nodes[b]))
        nodes = [n for k, n in enumerate(nodes) if k not in (a, b)] + [merged]
    p, children = nodes[0]
    while children:
        pts = [coordinates(child[0])[0] for child in children]
        if min(pts) / sum(pts) > 0.1:
            break
        p, children = children[pts.index(max(pts))]
    return math.sqrt(max(p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2, 0))


@pytest.mark.usefixtures("fastjet")
def test_soft_drop_mass_is_that_of_contrib():
    """In the same history, jets with one constituent, equal ones, and ones far too soft to matter, too."""
    import awkward as ak
    import fastjet

    def part(pt: float, eta: float, phi: float) -> tuple[float, float, float, float]:
        return pt, eta, phi, 0.1

    odd = [
        [part(50, 0, 0)],
        [part(50, 0, 0), part(50, 0.3, 0)],
        [part(50, 0, 0), part(50, 0, 0), part(50, 0, 0)],
        [part(50, 0.1, 0), part(1e-12, 0.2, 0), part(1e-12, 0.2, 0), part(1e-12, 0.4, 0.1), part(4, 0, 0)],
        [part(45, 0, 0), part(5, 0.5, 0)],  # just at the cut
    ]
    jets = Jets.concatenate([read(SAMPLES / "svj.h5", max_jets=400), Jets.from_lists(odd)])
    energy, px, py, pz = cartesian(jets.pt, jets.eta, jets.phi, jets.mass)
    momenta = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": energy}), jets.n_constituents)
    sequence = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0))
    groomed = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=0.1, R0=0.8)
    wanted = np.maximum(groomed.msoftdrop.to_numpy(), 0.0)
    found = observable(jets, ("soft_drop_mass",))[:, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-4)
    assert (found < 0.9 * jets.jet_mass).mean() > 0.5  # it does drop something


def test_soft_drop_mass_equals_a_loop(fastjet):
    jets = massive_jets(60, 5)
    found = observable(jets, ("soft_drop_mass",))[:, 0]
    wanted = [soft_drop_by_loop(jets, j) for j in range(len(jets))]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-4)
    groomed = found < jets.jet_mass - 1e-2
    assert 0.1 < groomed.mean() < 0.95  # both branches are compared


def nearest_direction(rows) -> float:
    """The smallest sum of pt R to one axis, a convex problem."""
    pt, y, phi = np.array(rows).T

    def total(axis):
        return float(np.sum(pt * np.hypot(y - axis[0], phi - axis[1])))

    start = [np.average(y, weights=pt), np.average(phi, weights=pt)]
    found = minimize(total, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    return min(found.fun, *(total(corner) for corner in zip(y, phi, strict=True)))


def test_subjettiness_against_the_best_of_all_partitions(fastjet):
    """The axes are a local minimum: never below the best of all partitions, mostly equal to it."""
    rng = np.random.default_rng(1)
    n, k = 15, 5
    array = np.stack(
        [rng.exponential(20, (n, k)) + 1, rng.normal(0, 0.3, (n, k)), rng.normal(0, 0.3, (n, k))], axis=2
    )
    jets = Jets.from_padded(array)
    tau = observable(jets, ("tau1", "tau2", "tau3"))
    best = np.empty((n, 3))
    for j in range(n):
        rows = parts(jets, j)
        scale = 0.8 * sum(p[0] for p in rows)
        cost = {
            group: nearest_direction([rows[i] for i in group])
            for size in range(1, k + 1)
            for group in itertools.combinations(range(k), size)
        }
        for axes in (1, 2, 3):
            best[j, axes - 1] = min(
                sum(cost[tuple(i for i in range(k) if at[i] == a)] for a in set(at))
                for at in itertools.product(range(axes), repeat=k)
            )
        best[j] /= scale
    np.testing.assert_allclose(tau[:, 0], best[:, 0], rtol=1e-2)
    assert (tau > best - 1e-3).all()
    assert (np.mean(np.abs(tau / best - 1) < 0.02, axis=0) > [0.95, 0.6, 0.6]).all()


def test_two_and_three_prongs(fastjet):
    rng = np.random.default_rng(0)

    def prongs(centres) -> Jets:
        eta, phi = np.repeat(centres, 10, axis=0).T + rng.normal(0, 0.01, (2, 10 * len(centres)))
        return Jets(np.full(len(eta), 10.0), eta, phi, np.zeros(len(eta)), [0, len(eta)])

    names = ("tau21", "tau32", "d2")
    two = observable(prongs([(0, 0), (0, 0.5)]), names)[0]
    three = observable(prongs([(0, 0), (0, 0.5), (0.5, 0)]), names)[0]
    assert two[0] < 0.1 < 0.5 < two[1]
    assert three[1] < 0.1 < 0.5 < three[0]
    assert two[2] < three[2]


DIMENSIONLESS = (*PAIRWISE, *(name for name in CLUSTERED if name != "soft_drop_mass"))


@pytest.mark.parametrize("change", ["turn", "boost", "scale", "order", "parts"])
def test_invariances(fastjet, change):
    jets = massive_jets(40, 7, mean=15)
    names, wanted = (*CLUSTERED, *PAIRWISE), None
    before = observable(jets, names)
    if change == "turn":
        phi = (jets.phi.astype(float) + 2.5 + np.pi) % (2 * np.pi) - np.pi
        after = observable(with_values(jets, phi=phi), names)
    elif change == "boost":
        pt, eta, mass = (v.astype(float) for v in (jets.pt, jets.eta, jets.mass))
        transverse = np.hypot(pt, mass)
        y = np.arcsinh(pt * np.sinh(eta) / transverse) + 0.7
        after = observable(with_values(jets, eta=np.arcsinh(transverse * np.sinh(y) / pt)), names)
    elif change == "scale":
        after = observable(with_values(jets, pt=jets.pt * 4, mass=jets.mass * 4), names)
        wanted = before * np.where(np.isin(names, DIMENSIONLESS), 1, 4)
    elif change == "order":
        order = np.lexsort((np.random.default_rng(0).random(len(jets.pt)), jets.jet_index))
        after = observable(
            with_values(jets, **{k: getattr(jets, k)[order] for k in ("pt", "eta", "phi", "mass")}), names
        )
    else:
        after = np.concatenate([observable(jets[i : i + 7], names) for i in range(0, 40, 7)])
    # float32 angles are moved by 1e-7; the one-pass axes stop at another point of the same precision
    np.testing.assert_allclose(after, before if wanted is None else wanted, rtol=2e-3, atol=2e-4)


def test_turning_about_the_jet_axis(fastjet):
    """Without masses, everything but the mass sees the plane of rapidity and azimuth alone."""
    from conftest import toy_jets

    jets = toy_jets(40, 9, mean=15)
    jets = with_values(jets, eta=jets.eta * 0.2, phi=jets.phi * 0.2)
    c, s = math.cos(1.1), math.sin(1.1)
    turned = with_values(jets, eta=c * jets.eta - s * jets.phi, phi=s * jets.eta + c * jets.phi)
    before, after = (observable(j, DIMENSIONLESS) for j in (jets, turned))
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("emission", ["collinear", "soft"])
def test_soft_and_collinear_emissions_change_nothing(fastjet, emission):
    from conftest import toy_jets

    jets, rng = toy_jets(60, 11, mean=12), np.random.default_rng(0)
    array, mask = jets.padded(24)
    grown = np.concatenate([array, np.zeros_like(array[:, :2])], axis=1)
    if emission == "collinear":
        grown[:, 24] = array[:, 0]
        share = rng.uniform(0.2, 0.8, len(jets)).astype(np.float32)
        grown[:, 24, 0] = array[:, 0, 0] * share
        grown[:, 0, 0] = array[:, 0, 0] - grown[:, 24, 0]
    else:
        grown[:, 24:, 0] = 1e-7
        grown[:, 24:, 1:3] = array[:, :1, 1:3] + rng.normal(0, 0.2, (len(jets), 2, 2))
    names = (*CLUSTERED, *PAIRWISE)
    several = mask.sum(axis=1) > 4  # below, ratios of vanishing numbers
    before, after = (observable(Jets.from_padded(a)[several], names) for a in (array, grown))
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=2e-4)
    # neither the number of constituents nor their largest share is safe
    unsafe = ("n_constituents", "leading_fraction") if emission == "collinear" else ("n_constituents",)
    before, after = (observable(Jets.from_padded(a)[several], unsafe) for a in (array, grown))
    assert (np.abs(after - before) > 0.01).any(axis=0).all()


def test_jets_with_next_to_nothing_inside(fastjet):
    jets = Jets.from_lists(
        [
            [(100.0, 0.1, 3.1, 0.0)],
            [(60.0, 0.0, 3.1, 0.0), (40.0, 0.0, -3.1, 0.0)],
            [(60.0, 0.0, 0.0, 0.0), (40.0, 0.0, 0.0, 0.0), (0.0, 0.3, 0.0, 0.0)],
            [],
            [(math.nan, 0.0, 0.0, 0.0), (5.0, 0.0, 0.0, 0.0)],
            [(5.0, math.inf, 0.0, 0.0)],
            [(0.0, 0.0, 0.0, 0.0)],
            [(30.0, 0.0, 0.0, 0.0), (30.0, 0.3, 0.0, 0.0), (20.0, 0.0, 0.4, 0.0)],
        ]
    )
    names = (*CLUSTERED, *PAIRWISE)
    found = observable(jets, names)
    assert found[0] == pytest.approx(0, abs=1e-5)  # the root of what rounding leaves of a mass squared
    pair = dict(zip(names, found[1], strict=True))
    r = 2 * math.pi - 2 * float(np.float32(3.1))
    assert pair["efp_d1_0"] == pytest.approx(2 * 0.6 * 0.4 * r, rel=1e-6)
    assert pair["efp_d2_0"] == pytest.approx(2 * 0.6 * 0.4 * r**2, rel=1e-6)
    assert pair["tau1"] == pytest.approx(0.4 * r / 0.8, rel=3e-3)  # the axis is found to 1e-4
    assert pair["tau21"] == pair["tau32"] == 0
    assert pair["soft_drop_mass"] == pytest.approx(jets[1:2].jet_mass[0], rel=1e-4)
    np.testing.assert_allclose(found[2], 0, atol=1e-4)
    assert np.isnan(found[3:7]).all()
    np.testing.assert_array_equal(found[7], observable(jets[7:], names)[0])
    assert observable(Jets.from_lists([]), names).shape == (0, len(names))
    assert np.isnan(observable(Jets.from_lists([[], []]), names)).all()


def test_directions_beyond_any_detector_do_not_stop_the_others(fastjet, make_jets):
    far = Jets.from_lists([[(5.0, 900.0, 0.0, 0.1), (5.0, 0.0, 0.0, 0.1)]])
    good = make_jets(3)
    names = (*CLUSTERED, *PAIRWISE)
    found = observable(Jets.concatenate([good, far]), names)
    np.testing.assert_allclose(found[:3], observable(good, names), rtol=1e-12)
    assert not np.isfinite(found[3]).any()


def test_memory_does_not_grow_with_the_number_of_jets(make_jets):
    def peak(n: int) -> int:
        jets = make_jets(n, 1, mean=50)
        tracemalloc.start()
        observable(jets, ("d2", "efp_d3_4"))
        size = tracemalloc.get_traced_memory()[1] - 200 * len(jets.pt)  # flat arrays of the constituents
        tracemalloc.stop()
        return size

    assert peak(1600) < 1.2 * max(peak(400), 20e6)


def test_only_clustered_observables_need_fastjet(monkeypatch, make_jets):
    monkeypatch.setitem(sys.modules, "fastjet", None)
    jets = make_jets(10)
    assert JetFeatures().fit(jets).transform(jets).shape == (10, 3)
    assert np.isfinite(observable(jets, tuple(name for name in OBSERVABLES if name not in CLUSTERED))).all()
    for name in CLUSTERED:
        with pytest.raises(
            MissingPackageError, match=rf"to compute {name} .*pip install 'jetad\[simulate\]'"
        ):
            observable(jets, (name,))


def test_features_of_files_stand_beside_clustered_ones(fastjet, make_jets):
    jets = make_jets(5)
    jets = Jets(jets.pt, jets.eta, jets.phi, jets.mass, jets.offsets, observables={"x": np.arange(5)})
    both = observable(jets, ("tau21", "file:x", "d2", "pt"))
    np.testing.assert_array_equal(both[:, [0, 2, 3]], observable(jets, ("tau21", "d2", "pt")))
    np.testing.assert_array_equal(both[:, 1], np.arange(5))
    stored = Jets.without_constituents(1, jet_momenta=np.ones((1, 4)))
    with pytest.raises(InputError, match="no constituents to compute 'tau21' from"):
        observable(stored, ("tau21",))


# --- scaling -------------------------------------------------------------------------------------

SHAPES = ("girth", "n_constituents", "mass")


def test_default_features_are_what_they_were(make_jets):
    features = JetFeatures().fit(make_jets(50))
    assert features.to_dict() == {
        "representation": "features",
        "observables": ["major_axis", "minor_axis", "n_constituents"],
        "scaling": "standard",
        "mean": features.mean.tolist(),
        "std": features.std.tolist(),
    }
    old = {k: v for k, v in features.to_dict().items() if k != "scaling"}
    jets = make_jets(20, 1)
    np.testing.assert_array_equal(preprocessor_from_dict(old).transform(jets), features.transform(jets))


def test_quantile_scaling_is_normal_on_the_background_and_survives_a_round_trip(make_jets):
    jets = make_jets(3000, 1)
    features = JetFeatures(FeatureConfig(observables=SHAPES, scaling="quantile-normal")).fit(jets)
    x = features.transform(jets)
    assert x.dtype == np.float32
    assert features.quantiles.shape == (1000, 3)
    np.testing.assert_allclose(np.quantile(x[:, 0], [0.025, 0.5, 0.975]), [-1.96, 0, 1.96], atol=0.02)
    again = preprocessor_from_dict(json.loads(json.dumps(features.to_dict())))
    other = make_jets(500, 2)
    np.testing.assert_array_equal(again.transform(other), features.transform(other))
    assert again.to_dict() == features.to_dict()


def test_quantile_scaling_equals_its_formula_and_rises(make_jets):
    """Linear between the quantiles, from below and from above where several are equal, then to a normal."""
    features = JetFeatures(FeatureConfig(observables=SHAPES, scaling="quantile-normal"))
    features.fit(make_jets(2000, 1))
    jets = make_jets(400, 2)
    values, x = observable(jets, SHAPES), features.transform(jets)
    p = np.linspace(0, 1, len(features.quantiles))
    for k in range(3):
        v, q = values[:, k], features.quantiles[:, k]
        below = np.mean([np.interp(v, q, p), 1 - np.interp(-v, -q[::-1], p)], axis=0)
        below[v <= q[0] + 1e-7], below[v >= q[-1] - 1e-7] = (
            0,
            1,
        )  # also where many jets have the smallest value
        np.testing.assert_allclose(x[:, k], norm.ppf(np.clip(below, 1e-7, 1 - 1e-7)), atol=1e-5)
        assert (np.diff(x[np.argsort(v), k]) >= 0).all()


def test_quantile_scaling_ends_where_the_background_ends(make_jets):
    jets = make_jets(1500, 1)
    features = JetFeatures(FeatureConfig(observables=("mass",), scaling="quantile-normal")).fit(jets)
    top = float(jets.jet_mass.max())
    far = Jets.without_constituents(
        4, jet_momenta=[[500, 0, 0, top + 1], [500, 0, 0, 50 * top], [500, 0, 0, -1], [500, 0, 0, math.nan]]
    )
    x = features.transform(far)[:, 0]
    np.testing.assert_allclose(x[:3], [5.1993, 5.1993, -5.1993], atol=1e-3)
    assert np.isnan(x[3])


def test_quantile_scaling_with_few_jets_and_without_a_fit(make_jets):
    features = JetFeatures(FeatureConfig(scaling="quantile-normal"))
    with pytest.raises(ConfigError, match="must be fitted"):
        features.transform(make_jets(3))
    assert features.fit(make_jets(30)).quantiles.shape == (30, 3)
    with pytest.raises(InputError, match="has the same value in every training jet"):
        features.fit(make_jets(40, mean=1))


def test_a_run_on_substructure_scores_alike_after_a_reload(fastjet, tmp_path, monkeypatch, make_jets, capsys):
    import h5py
    from test_cli import QUICK
    from test_cli import jetad as run_jetad

    from jetad.writers import write_jets

    monkeypatch.chdir(tmp_path)
    write_jets(make_jets(150, 1, labels=0), "qcd.h5")
    write_jets(make_jets(40, 2), "new.h5")
    names = "preprocessing.observables=[ptd,soft_drop_mass,tau21,c2,efp_d3_4]"
    words = ["--representation", "features", "--set", names, "--set", "preprocessing.scaling=quantile-normal"]
    assert run_jetad("train", "-b", "qcd.h5", *words, *QUICK[:6], *QUICK[8:]) == 0
    assert run_jetad("score", "new.h5") == 0
    with h5py.File("new.scores.h5") as file:
        assert np.isfinite(file["score"][:]).all()
    stored = json.loads((tmp_path / "runs" / "latest" / "preprocessing.json").read_text())
    assert len(stored["features"]["quantiles"]) > 100
    monkeypatch.setitem(sys.modules, "fastjet", None)
    capsys.readouterr()
    assert run_jetad("score", "new.h5", "--force") == 1
    error = capsys.readouterr().err
    assert "FastJet is needed to compute soft_drop_mass" in error
    assert "pip install 'jetad[simulate]'" in error
    assert run_jetad("train", "-b", "qcd.h5", "-o", "other", *words, *QUICK[:6], *QUICK[8:]) == 1
    assert "FastJet is needed" in capsys.readouterr().err
