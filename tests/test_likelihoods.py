"""Exact densities: volumes against autograd, causality pixel by pixel, normalisation by sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jetad.config import resolve_config
from jetad.errors import ConfigError, InputError
from jetad.models.glow import Glow, GlowSettings
from jetad.models.networks.causal import CausalNetwork
from jetad.models.networks.convolution import ConvolutionConfig
from jetad.models.networks.flow import ActNorm, Coupling, Flow, InvertibleConvolution
from jetad.models.networks.inputs import InputsConfig
from jetad.models.pixelcnn import PixelCNN, PixelCNNSettings, log_mass

PLAIN = InputsConfig()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disturbed(module: torch.nn.Module, size: float = 0.2) -> torch.nn.Module:
    """A module in float64 whose parameters are no longer at their start."""
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p += size * torch.randn(p.shape, generator=rng(p.numel()), dtype=torch.float64)
    return module


def log_volume(function, x: torch.Tensor) -> torch.Tensor:
    """ln |det| of the Jacobian of one row, by autograd."""
    jacobian = torch.autograd.functional.jacobian(function, x)
    return torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))[1]


def train_a_little(model, x: torch.Tensor, steps: int, rate: float = 1e-2) -> None:
    model.start(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    generator = rng(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        loss = model.objective(batch, generator)
        optimizer.zero_grad()
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        optimizer.step()


# --- flow ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 3, 2), (5, 1, 1)], ids=["image", "vector"])
@pytest.mark.parametrize("kind", ["norm", "convolution", "coupling"])
def test_layers_of_the_flow_have_the_volume_that_autograd_finds(kind, shape):
    torch.manual_seed(0)
    layer = disturbed({
        "norm": lambda: ActNorm(shape[0]),
        "convolution": lambda: InvertibleConvolution(shape[0]),
        "coupling": lambda: Coupling(shape, 6),
    }[kind]())  # fmt: skip
    x = torch.randn(3, *shape, generator=rng(1), dtype=torch.float64)
    z, log_det = layer(x)
    torch.testing.assert_close(layer.inverse(z), x)
    for i, found in enumerate(log_det.expand(3)):
        wanted = log_volume(lambda row: layer(row)[0], x[i : i + 1])
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 8, 8), 3), ((1, 4, 8), 2), ((2, 4, 4), 1), ((5, 1, 1), 0), ((2, 1, 1), 0)]
)
def test_whole_flow_is_invertible_with_the_volume_that_autograd_finds(shape, levels):
    torch.manual_seed(0)
    flow = disturbed(Flow(shape, levels, 2, 4))
    x = torch.randn(2, *shape, generator=rng(1), dtype=torch.float64)
    z, log_det = flow(x)
    assert z.shape == (2, math.prod(shape))
    torch.testing.assert_close(flow.inverse(z), x)
    for i in range(2):
        torch.testing.assert_close(log_det[i], log_volume(lambda row: flow(row)[0], x[i : i + 1]))
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum(dim=1)
    torch.testing.assert_close(flow.log_prob(x), normal + log_det)


def test_flow_starts_with_mean_zero_and_variance_one():
    torch.manual_seed(0)
    flow = Flow((1, 8, 8), 2, 2, 4)
    x = 3 + 0.2 * torch.randn(200, 1, 8, 8, generator=rng(1))
    flow.start(x)
    x = torch.nn.functional.pixel_unshuffle(x, 2)
    for layer in flow.layers:
        x = layer(x)[0]
        if isinstance(layer, ActNorm):
            assert torch.allclose(x.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4)
            assert torch.allclose(x.var(dim=(0, 2, 3)), torch.ones(4), atol=1e-2)


def test_density_of_the_flow_integrates_to_one_and_gives_its_samples():
    """Two bent stripes, in units far from one."""
    torch.manual_seed(0)
    a, b = torch.randn(4000, generator=rng(2)), torch.randn(4000, generator=rng(3))
    x = torch.stack([5 + 1e-2 * a, 1e-2 * (a.square() / 2 + 0.3 * b)], dim=1)
    model = Glow((2,), PLAIN, GlowSettings(steps=4, hidden=16))
    train_a_little(model, x, 200)
    model.double().requires_grad_(False)
    u = torch.linspace(-10, 10, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(u, u) * model.std + model.mean
    mass = torch.exp(-model.energy(grid)).sum() * (u[1] - u[0]).square() * model.std.prod()
    assert float(mass) == pytest.approx(1, abs=2e-3)
    drawn = model.sample(4000, rng(4))
    torch.testing.assert_close(drawn.mean(dim=0), x.double().mean(dim=0), atol=1.5e-3, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), x.double().std(dim=0), atol=2e-3, rtol=0)
    bend = [float(torch.corrcoef(torch.stack([v[:, 0].sub(5).square(), v[:, 1]]))[0, 1]) for v in (x, drawn)]
    assert bend[1] == pytest.approx(bend[0], abs=0.15)
    gaussian = torch.distributions.MultivariateNormal(x.double().mean(dim=0), torch.cov(x.double().T))
    assert float(model.energy(x.double()).mean()) < float(-gaussian.log_prob(x.double()).mean()) - 0.3


def test_score_of_the_flow_follows_the_units_of_the_input():
    x = torch.randn(500, 3, generator=rng(2))
    energies = []
    for unit in (1.0, 1e-3):
        torch.manual_seed(0)
        model = Glow((3,), PLAIN, GlowSettings(steps=1, hidden=4))
        model.start(unit * x)
        energies.append(model.score(unit * x))
    torch.testing.assert_close(
        energies[1] - energies[0], torch.full((500,), 3 * math.log(1e-3)), atol=1e-3, rtol=0
    )


def test_noise_keeps_the_density_of_pixels_that_are_always_zero_finite():
    torch.manual_seed(0)
    rows = torch.zeros(300, 1, 8, 8)
    rows[:, :, 2:4, 2:4] = torch.rand(300, 1, 2, 2, generator=rng(1)) * 1e-3
    model = Glow((1, 8, 8), PLAIN, GlowSettings(steps=1, hidden=4))
    x = model.prepare(rows)
    train_a_little(model, x, 20, 1e-3)
    assert float(model.noise) == pytest.approx(0.05 * float(x.var(dim=0).mean().sqrt()), rel=0.01)
    first, second = model.score(rows), model.score(rows)
    assert torch.equal(first, second)  # no noise in a score
    assert torch.isfinite(first).all()
    assert float(first.mean()) > 64 * math.log(float(model.noise))
    bright = rows.clone()
    bright[:, :, 7, 7] = 1e-3  # where the background never is
    assert (model.score(bright) > first + 100).all()


@pytest.mark.parametrize(
    ("shape", "network", "settings", "message"),
    [
        ((1, 37, 40), PLAIN, {}, "multiples of 2, found 37 and 40"),
        ((1, 20, 40), PLAIN, {"levels": 3}, "halves images 3 times: n_eta and n_phi must be multiples of 8"),
        ((7,), PLAIN, {"levels": 2}, "features and components have none"),
        ((1,), PLAIN, {}, "at least two numbers"),
        ((1, 8, 8), ConvolutionConfig(), {}, "choose network kind 'inputs'"),
    ],
)
def test_flow_refuses_what_it_cannot_take(shape, network, settings, message):
    with pytest.raises(ConfigError, match=message):
        Glow(shape, network, GlowSettings(**settings))


def test_flow_takes_components_and_any_even_image():
    assert Glow((1, 40, 40), InputsConfig(components=9), None).flow.shape == (9, 1, 1)
    for shape, levels in (((1, 40, 40), 3), ((1, 36, 40), 2), ((1, 6, 6), 1)):
        torch.manual_seed(0)
        model = Glow(shape, PLAIN, GlowSettings(steps=1, hidden=2))
        x = torch.rand(2, math.prod(shape), generator=rng(1))
        assert model.energy(x).shape == (2,)
        flows = [m for m in model.modules() if isinstance(m, Flow)]
        assert len(flows) == levels


# --- autoregressive ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (6, 3)])
def test_pixels_depend_on_all_earlier_ones_and_on_no_other(size):
    torch.manual_seed(0)
    network = disturbed(CausalNetwork(size, 3, 3, 4), 0.1)
    x = torch.randn(1, 1, *size, generator=rng(1), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: network(v).flatten(2)[0], x)
    n = math.prod(size)
    depends = jacobian.reshape(4, n, n).abs().amax(dim=0)  # of the output at i on the input at j
    for i in range(n):
        assert (depends[i, i:] == 0).all(), i
        assert (depends[i, :i] > 0).all(), i


@pytest.mark.parametrize("blocks", [1, 2])
def test_every_block_sees_two_more_rows(blocks):
    torch.manual_seed(0)
    network = disturbed(CausalNetwork((10, 9), 3, blocks, 1), 0.1)
    x = torch.randn(1, 1, 10, 9, generator=rng(1), dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(network(x)[0, 0, 9, 4], x)
    rows = g[0, 0].abs().amax(dim=1) > 0
    assert int(rows[:9].sum()) == 3 + 2 * blocks


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_levels_have_probability_one_in_sum(levels):
    means = torch.tensor([-30.0, -1.0, -0.3, 0.0, 0.999, 1.0, 8.0], dtype=torch.float64)
    log_scales = torch.tensor([-7.0, -3.0, 0.0, 4.0], dtype=torch.float64)
    x = torch.arange(levels, dtype=torch.float64)
    masses = log_mass(x[:, None, None], means[:, None], log_scales, levels)
    torch.testing.assert_close(
        torch.logsumexp(masses, dim=0), torch.zeros(7, 4, dtype=torch.float64), atol=1e-11, rtol=0
    )
    single = log_mass(x[:, None, None], means[:, None], log_scales, levels).float()
    assert torch.isfinite(single).all()  # far in the tails, too


def test_whole_images_have_probability_one_in_sum():
    torch.manual_seed(0)
    model = disturbed(PixelCNN((1, 2, 3), PLAIN, PixelCNNSettings(levels=3, filters=3, blocks=1, mixtures=2)))
    images = torch.cartesian_prod(*[torch.arange(3, dtype=torch.float64)] * 6)
    with torch.no_grad():
        total = torch.logsumexp(-model.energy(images), dim=0)
    assert float(total) == pytest.approx(0, abs=1e-10)


def test_uniform_levels_cost_their_logarithm():
    levels = torch.randint(16, (2000, 16), generator=rng(1)).float()
    torch.manual_seed(0)
    model = PixelCNN((1, 4, 4), PLAIN, PixelCNNSettings(levels=16, filters=4, blocks=1, mixtures=3))
    train_a_little(model, levels, 150)
    with torch.no_grad():
        bits = float(model.objective(levels, rng())) / math.log(2)
    assert bits == pytest.approx(4, abs=0.05)


def test_samples_have_the_probabilities_of_the_model():
    torch.manual_seed(0)
    model = disturbed(
        PixelCNN((1, 2, 2), PLAIN, PixelCNNSettings(levels=3, filters=3, blocks=1, mixtures=2)), 0.5
    )
    images = torch.cartesian_prod(*[torch.arange(3, dtype=torch.float64)] * 4)
    with torch.no_grad():
        wanted = torch.exp(-model.energy(images))
    drawn = model.sample(20_000, rng(2))
    index = (drawn * torch.tensor([27.0, 9.0, 3.0, 1.0], dtype=torch.float64)).sum(dim=1).long()
    found = torch.bincount(index, minlength=81) / len(drawn)
    pull = (found - wanted) / (wanted * (1 - wanted) / len(drawn)).sqrt()
    often = wanted > 5e-4
    assert often.sum() > 20
    assert float(pull[often].square().mean()) < 1.6


def test_samples_have_a_distribution_that_was_learned():
    """Rows that repeat the one above, the first one of two levels: 0 (three in four) and 3."""
    first = torch.where(torch.rand(2000, 1, 4, generator=rng(1)) < 0.25, 3.0, 0.0)
    x = first.expand(-1, 2, 4).reshape(-1, 8)
    torch.manual_seed(0)
    model = PixelCNN((1, 2, 4), PLAIN, PixelCNNSettings(levels=4, filters=6, blocks=1, mixtures=2))
    train_a_little(model, x, 200, 2e-2)
    drawn = model.sample(1000, rng(2)).view(-1, 2, 4)
    assert float((drawn == 3).float().mean()) == pytest.approx(0.25, abs=0.05)
    assert float(((drawn == 0) | (drawn == 3)).float().mean()) > 0.97
    assert float((drawn[:, 1] == drawn[:, 0]).float().mean()) > 0.97


def test_intensities_become_levels_by_what_the_background_has():
    rows = torch.zeros(1000, 1, 4, 4)
    rows[:, 0, 1, 1] = torch.linspace(0.001, 1, 1000)
    rows[:, 0, 2, 2] = 1e-4
    model = PixelCNN((1, 4, 4), PLAIN, PixelCNNSettings(levels=101, saturated=0.1, power=0.5))
    model.fit_input(rows)
    assert float(model.top) == pytest.approx(0.9, abs=2e-3)
    x = model.prepare(rows)
    assert x.min() == 0
    assert x.max() == 100
    assert torch.equal(x, x.round())
    saturated = (x.view(-1, 4, 4)[:, 1, 1] == 100).float().mean()
    assert 0.1 <= float(saturated) < 0.12  # half a level below the top is rounded up
    assert float(x.view(-1, 4, 4)[0, 2, 2]) == round(100 * (1e-4 / 0.9) ** 0.5)
    inside = rows.amax(dim=(1, 2, 3)) < 0.9
    torch.testing.assert_close(model.restore(x)[inside], rows[inside], atol=0.01, rtol=0)
    with pytest.raises(InputError, match="are empty"):
        model.fit_input(torch.zeros(5, 1, 4, 4))


def test_autoregressive_model_refuses_what_it_cannot_take():
    with pytest.raises(ConfigError, match="images of one channel"):
        PixelCNN((7,), PLAIN)
    for network in (InputsConfig(components=5), ConvolutionConfig()):
        with pytest.raises(ConfigError, match="kind 'inputs' without components"):
            PixelCNN((1, 8, 8), network)
    with pytest.raises(ConfigError, match=r"does not take representation 'features', only: image"):
        resolve_config(method="pixelcnn", representation="features")


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["glow", "pixelcnn"])
def test_scores_depend_neither_on_the_batch_nor_on_other_rows(method):
    torch.manual_seed(0)
    model = disturbed({
        "glow": lambda: Glow((1, 8, 8), PLAIN, GlowSettings(steps=1, hidden=4)),
        "pixelcnn": lambda: PixelCNN((1, 8, 8), PLAIN, PixelCNNSettings(filters=3, blocks=1)),
    }[method]())  # fmt: skip
    rows = torch.rand(300, 1, 8, 8, generator=rng(1), dtype=torch.float64)
    rows[7] = torch.nan
    scores = model.score(rows)
    np.testing.assert_array_equal(torch.isnan(scores).nonzero().flatten(), [7])
    torch.testing.assert_close(model.score(rows[130:140]), scores[130:140])
    x = model.prepare(rows[:5]).requires_grad_()
    (gradient,) = torch.autograd.grad(model.energy(x).sum(), x)
    assert torch.isfinite(gradient).all()
