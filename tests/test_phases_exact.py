"""Losses, schedules and validations of the phases, on energies that are straight lines."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import toy_jets
from torch import nn

from jetad.config import ContrastiveConfig, TrainingConfig, TransportConfig, resolve_config
from jetad.models.autoencoder import Autoencoder
from jetad.models.denoising import DenoisingAutoencoder
from jetad.models.igebm import ScalarEnergy
from jetad.models.nae import NormalizedAutoencoder
from jetad.models.networks.dense import DenseConfig
from jetad.objectives.base import SignalInputs
from jetad.objectives.classification import Classification
from jetad.objectives.contrastive import Contrastive, detached_state
from jetad.objectives.reconstruction import Reconstruction
from jetad.objectives.transport import Transport, langevin_with_graph
from jetad.samplers.base import ChainConfig, Negatives
from jetad.samplers.on_manifold import OnManifoldConfig
from jetad.samplers.persistent import PersistentConfig
from jetad.samplers.short_chain import ShortChainConfig
from jetad.training.data import BackgroundParts

SMALL = DenseConfig(components=None, hidden=(4,), latent_dim=2)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


class Line(ScalarEnergy):
    """``E(x) = slope x`` in one dimension."""

    def __init__(self, slope: float = 2.0) -> None:
        super().__init__((1,), SMALL)
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))
        self.double()

    def energy(self, x):
        return self.slope * x[:, 0]

    def energy_parameters(self):
        return [self.slope]


class Parabola(Line):
    """``E(x) = slope x^2 / 2``."""

    def energy(self, x):
        return 0.5 * self.slope * x[:, 0].square()


class Given:
    """A sampler of negatives that are known beforehand."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def negatives(self, model, x, generator):
        return Negatives(self.x, self.x, {})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def contrastive(model, negatives: torch.Tensor | None = None, **settings) -> Contrastive:
    settings = {"temperature": 2.0, "sampler": PersistentConfig()} | settings
    phase = Contrastive(model, ContrastiveConfig(**settings))
    phase.start(column(0.0, 2.0), column(1.0, 3.0))  # held-out background has <E / T> = 2
    if negatives is not None:
        phase.sampler = Given(negatives)
    return phase


# --- the contrastive loss ------------------------------------------------------------------------

POSITIVE, NEGATIVE = column(1.0, 3.0), column(2.0, 6.0)  # as are E / T


def loss_and_slope(**settings) -> tuple[float, float]:
    """The loss, and its derivative with respect to the slope of the line over T."""
    model = Line()
    loss, _ = contrastive(model, NEGATIVE, **settings).loss(POSITIVE, rng())
    (slope,) = torch.autograd.grad(loss, model.slope)
    return float(loss.detach()), 2 * float(slope)


def test_loss_without_a_ceiling_is_the_difference_of_energies_over_t():
    loss, slope = loss_and_slope(ceiling=None)
    assert loss == pytest.approx(2 - 4)
    assert slope == pytest.approx(2 - 4)


@pytest.mark.parametrize("ceiling", [1.0, 5.0])
def test_ceiling_adds_the_square_of_negatives_over_twice_itself(ceiling):
    c = ceiling * 2  # in units of the held-out background's E / T
    loss, slope = loss_and_slope(ceiling=ceiling)
    assert loss == pytest.approx(2 - 4 + (4 + 36) / 2 / (2 * c))
    assert slope == pytest.approx(2 - 4 + (4 + 36) / 2 / c)


def test_negatives_at_the_ceiling_are_neither_raised_nor_let_down():
    """The derivative with respect to a negative's energy is -(1 - u / c)."""
    derivatives = []
    for u in (0.0, 3.0, 6.0, 9.0):
        x = column(u).requires_grad_()
        phase = contrastive(Line(), x, ceiling=3.0)
        loss, _ = phase.loss(POSITIVE, rng())
        derivatives.append(float(torch.autograd.grad(loss, x)[0]))  # u = x
    assert derivatives == pytest.approx([-1, -0.5, 0, 0.5])


def test_square_penalty_is_added_for_both_kinds():
    without, _ = loss_and_slope(ceiling=None)
    for weight in (0.1, 3.0):
        loss, slope = loss_and_slope(ceiling=None, square_penalty=weight)
        squares = (1 + 9) / 2 + (4 + 36) / 2
        assert loss - without == pytest.approx(weight * squares)
        assert slope == pytest.approx(2 - 4 + 2 * weight * squares)


def test_recorded_energies_are_means():
    _, metrics = contrastive(Line(), NEGATIVE).loss(POSITIVE, rng())
    assert float(metrics["energy_pos"]) == pytest.approx(4)
    assert float(metrics["energy_neg"]) == pytest.approx(8)
    assert float(metrics["energy_gap"]) == pytest.approx(4)


def test_box_is_wider_than_the_background_by_its_margin():
    for phase in (
        contrastive(Line(), box_margin=0.5),
        Transport(Line(), TransportConfig(box_margin=0.5)),
    ):
        phase.start(column(0.0, 2.0), column(1.0, 3.0))
        assert (float(phase.model.low), float(phase.model.high)) == (-1, 3)


# --- validation ----------------------------------------------------------------------------------


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return a == b


def autoencoder() -> NormalizedAutoencoder:
    torch.manual_seed(0)
    return NormalizedAutoencoder((1,), SMALL)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Contrastive(Parabola(), ContrastiveConfig(sampler=PersistentConfig(buffer_size=10))),
        lambda: Contrastive(Parabola(), ContrastiveConfig(sampler=ShortChainConfig())),
        lambda: Contrastive(autoencoder(), ContrastiveConfig(sampler=OnManifoldConfig(buffer_size=10))),
        lambda: Transport(Parabola(), TransportConfig(sampler=PersistentConfig(buffer_size=10))),
    ],
    ids=["pcd", "cd", "omi", "transport"],
)
def test_validation_leaves_the_chains_of_the_training_as_they_are(make):
    phase = make()
    x = torch.randn(40, 1, generator=rng(1), dtype=next(phase.model.parameters()).dtype)
    phase.start(x[:20], x[20:])
    for call in range(2):
        phase.loss(x[:8], rng(call))
    before = detached_state(phase.sampler.state_dict())
    phase.validate(x[20:], rng(5))
    assert equal(phase.sampler.state_dict(), before)
    phase.loss(x[:8], rng(6))
    assert not equal(phase.sampler.state_dict(), before)


@pytest.mark.parametrize("select", ["distance", "last"])
@pytest.mark.parametrize("kind", ["contrastive", "transport"])
def test_criterion_is_the_distance_if_that_selects(kind, select):
    x = torch.randn(40, 1, generator=rng(1), dtype=torch.float64)
    settings = {"select": select, "sampler": PersistentConfig()}
    if kind == "contrastive":
        phase = Contrastive(Parabola(), ContrastiveConfig(**settings))
    else:
        phase = Transport(Parabola(), TransportConfig(**settings))
    phase.start(x[:20], x[20:])
    criterion, metrics = phase.validate(x[20:], rng(5))
    assert criterion == metrics["val_distance"] if select == "distance" else math.isnan(criterion)


def test_validation_measures_background_and_negatives():
    x, ends = column(1.0, 3.0), column(2.0, 6.0, 7.0)
    phase = contrastive(Line(), ends, select="distance")
    distance, metrics = phase.validate(x, rng())
    assert metrics["val_energy"] == pytest.approx(4)
    assert metrics["val_energy_neg"] == pytest.approx(10)
    # cross: 1, 5, 6, 1, 3, 4; of the background 2; of the negatives 4, 5, 1
    assert distance == pytest.approx(2 * 20 / 6 - 2 - 10 / 3, abs=1e-5)


def test_chains_count_as_stuck_only_while_they_are():
    phase = contrastive(Line(slope=0.0), sampler=PersistentConfig(visible_chain=ChainConfig(n_steps=2)))
    phase.stuck = 2
    _, metrics = phase.validate(column(1.0, 3.0), rng())
    assert metrics["val_acceptance"] == 1
    assert phase.stuck == 0


def test_trouble_is_seen_in_units_of_the_temperature():
    """Energies may be as large as they like where T is."""
    settings = {"temperature": 1e6, "divergence": 3.0, "ceiling": 2.0, "sampler": PersistentConfig()}
    phase = Contrastive(Line(), ContrastiveConfig(**settings))
    phase.start(column(0.0, 2e6), column(1e6, 3e6))  # <E / T> = 4
    fine = {"val_energy": 8e6, "val_energy_neg": 16e6}
    assert phase.trouble(fine) is None
    assert "grew from 4 T to 13 T" in phase.trouble({**fine, "val_energy": 13e6})


def dense(kind, **settings):
    torch.manual_seed(0)
    return kind((2,), SMALL, kind.Settings(**settings)).double()


@pytest.mark.parametrize("n", [7, 2049, 5000])
def test_validation_of_the_first_phase_is_the_mean_over_all_jets(n):
    x = torch.randn(n, 2, generator=rng(1), dtype=torch.float64)
    model = dense(Autoencoder)
    criterion, metrics = Reconstruction(model, TrainingConfig(), 100).validate(x, rng())
    with torch.no_grad():
        assert criterion == pytest.approx(float(model.energy(x).mean()), rel=1e-12)
    assert metrics["val_energy"] == criterion


def test_validation_of_the_first_phase_meets_the_same_noise_every_time():
    x = torch.randn(50, 2, generator=rng(1), dtype=torch.float64)
    model, generator = dense(DenoisingAutoencoder, level=0.5), rng(2)
    phase = Reconstruction(model, TrainingConfig(), 100)
    phase.start(x, x)
    first, state = phase.validate(x, generator)[0], generator.get_state()
    assert phase.validate(x, generator)[0] == first
    assert torch.equal(generator.get_state(), state)  # batches and chains go on as without


def test_classes_count_the_same():
    background, signal = column(0.5, 1.5), column(-2.0)
    model = Line(slope=1.0)
    phase = Classification(model, TrainingConfig(), 10, SignalInputs(signal, signal))
    # minus the logarithms of the probabilities of the truth
    want = 0.5 * (np.mean([math.log1p(math.exp(0.5)), math.log1p(math.exp(1.5))]) + math.log1p(math.exp(2)))
    assert phase.validate(background, rng())[0] == pytest.approx(want)
    assert float(phase.loss(background, rng())[0].detach()) == pytest.approx(want)


# --- schedules -----------------------------------------------------------------------------------


def test_first_phase_rises_for_a_third_and_falls_by_a_cosine():
    phase = Reconstruction(dense(Autoencoder), TrainingConfig(epochs=5, batch_size=8, learning_rate=0.4), 33)
    assert phase.n_steps == 20
    rates = [phase.learning_rate(step) / 0.4 for step in range(20)]
    assert rates[5] == pytest.approx(1)  # at 6 of 20
    assert rates[2] == pytest.approx(0.02 + 0.98 / 2)  # half of the way up
    assert rates[12] == pytest.approx(0.02 + 0.98 / 2)  # and half of the way down
    assert rates[19] == pytest.approx(0.02)
    down = [0.02 + 0.98 * (1 + math.cos(math.pi * k / 14)) / 2 for k in range(15)]
    assert rates[5:] == pytest.approx(down)


@pytest.mark.parametrize("kind", ["contrastive", "transport"])
def test_second_phase_is_constant_for_one_half_and_falls_to_zero_in_the_other(kind):
    settings = {"steps": 10, "learning_rate": 0.3, "sampler": PersistentConfig()}
    if kind == "contrastive":
        phase = Contrastive(Line(), ContrastiveConfig(**settings))
    else:
        phase = Transport(Line(), TransportConfig(**settings))
    rates = [phase.learning_rate(step) / 0.3 for step in range(10)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


# --- the differentiated steps --------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 4])
def test_noise_of_the_differentiated_steps_is_that_of_langevin(steps):
    n, step = 40_000, 0.03
    model = Line(slope=0.0)
    for std, variance in ((None, 2 * step), (0.7, 0.7**2)):
        ends = langevin_with_graph(
            model, torch.zeros(n, 1, dtype=torch.float64), n_steps=steps, step_size=step, noise_std=std,
            generator=rng(3),
        )  # fmt: skip
        found = float(ends.detach().square().mean())
        assert found == pytest.approx(steps * variance, rel=5 * math.sqrt(2 / n))


def test_drift_of_the_differentiated_steps_is_over_the_temperature():
    model, x0 = Parabola(slope=3.0), column(1.0, -2.0)
    model.temperature.fill_(0.5)
    ends = langevin_with_graph(model, x0, n_steps=3, step_size=0.1, noise_std=0.0, generator=rng())
    torch.testing.assert_close(ends, (1 - 0.1 * 3 / 0.5) ** 3 * x0)
    # the derivative with respect to the slope
    (slope,) = torch.autograd.grad(ends[0, 0], model.slope)
    assert float(slope) == pytest.approx(3 * (1 - 0.1 * 3 / 0.5) ** 2 * (-0.1 / 0.5))


def test_differentiated_steps_are_reflected_at_the_walls():
    model = Line(slope=-2.0)
    model.fit_box(column(0.0, 1.0), 0.0)
    ends = langevin_with_graph(model, column(0.9), n_steps=1, step_size=0.2, noise_std=0.0, generator=rng())
    torch.testing.assert_close(ends, column(2 - 1.3))


# --- the parts of the background -----------------------------------------------------------------


def test_samples_of_a_part_are_spread_evenly_over_it():
    jets = dataclasses.replace(toy_jets(200, 1), entry=np.arange(200))
    parts = BackgroundParts(jets, resolve_config())
    rows = parts.rows["train"]
    assert parts.sample("train", 3).entry.tolist() == [rows[0], rows[round((len(rows) - 1) / 2)], rows[-1]]
    assert parts.sample("train", 10**6).entry.tolist() == rows.tolist()
