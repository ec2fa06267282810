"""Rules of the models on networks that are replaced by maps known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from jetad.config import ContrastiveConfig, TransportConfig
from jetad.models.dagmm import Mixture
from jetad.models.denoising import DenoisingAutoencoder
from jetad.models.glow import Glow, GlowSettings
from jetad.models.igebm import ScalarEnergy
from jetad.models.mpdr import ManifoldReconstruction, ManifoldScalar
from jetad.models.nae import NormalizedAutoencoder
from jetad.models.networks.dense import DenseConfig
from jetad.models.networks.inputs import InputsConfig
from jetad.models.networks.parts import PrincipalComponents
from jetad.models.pixelcnn import PixelCNN, PixelCNNSettings
from jetad.models.vae import VariationalAutoencoder
from jetad.models.wae import WassersteinAutoencoder
from jetad.models.wnae import WassersteinNormalizedAutoencoder
from jetad.objectives.contrastive import Contrastive
from jetad.objectives.transport import Transport
from jetad.samplers.persistent import PersistentConfig

SMALL = DenseConfig(components=None, hidden=(4,), latent_dim=3, manifold_dims=(2, 3))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(kind, d: int = 2, **settings):
    torch.manual_seed(0)
    return kind((d,), SMALL, kind.Settings(**settings))


class Constant(nn.Module):
    """A network that gives the same numbers for every row."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(values))

    def forward(self, x):
        return self.values.to(x.dtype).expand(len(x), -1)


# --- densities -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("residuals", "directions"),
    [
        ([[1, 1], [-1, -1]], 1),  # along a diagonal
        ([[2, 0], [-2, 0]], 1),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], 2),
        ([[3, 3], [-3, -3], [3, -3], [-3, 3]], 2),
    ],
)
def test_background_has_half_a_temperature_in_each_direction_of_its_residual(residuals, directions):
    model = made(NormalizedAutoencoder)
    model.codec.decoder = Constant(5.0, -7.0)  # reconstructs everything as this
    x = torch.tensor(residuals, dtype=torch.float32) + torch.tensor([5.0, -7.0])
    assert model.fit_temperature(x) == pytest.approx(directions)
    assert float((model.energy(x) / model.temperature).mean()) == pytest.approx(directions / 2)


def test_box_is_the_range_and_a_margin_on_each_side():
    model = made(ScalarEnergy, 3)
    # the last input hardly varies: it has the width of the average
    model.fit_box(torch.tensor([[0.0, 10.0, 1.0], [4.0, 12.0, 1.0], [1.0, 11.0, 1.0]]), margin=0.25)
    torch.testing.assert_close(model.low, torch.tensor([-1.0, 9.5, 0.5]))
    torch.testing.assert_close(model.high, torch.tensor([5.0, 12.5, 1.5]))


def test_energy_is_infinite_on_all_sides_of_the_box():
    model = made(ScalarEnergy)
    model.fit_box(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), margin=0.0)
    x = torch.tensor([[0.5, 0.5], [-0.1, 0.5], [1.1, 0.5], [0.5, -0.1], [0.5, 1.1], [0.0, 1.0]])
    found = model.boxed_energy(x)
    assert torch.isinf(found).tolist() == [False, True, True, True, True, False]
    assert (found[1:5] > 0).all()
    torch.testing.assert_close(found[[0, 5]], model.energy(x[[0, 5]]))


KINDS = {
    "nae": NormalizedAutoencoder,
    "wnae": WassersteinNormalizedAutoencoder,
    "igebm": ScalarEnergy,
    "mpdr-s": ManifoldScalar,
    "mpdr-r": ManifoldReconstruction,
}


@pytest.mark.parametrize("kind", KINDS)
def test_second_phase_trains_all_that_the_energy_depends_on_and_nothing_else(kind):
    model = made(KINDS[kind])
    model.energy(torch.randn(9, 2, generator=rng(1))).sum().backward()
    named = dict(model.named_parameters())
    wanted = {name for name, p in named.items() if p.grad is not None and bool((p.grad != 0).any())}
    phase = (
        Transport(model, TransportConfig())
        if kind == "wnae"
        else Contrastive(model, ContrastiveConfig(sampler=PersistentConfig()))
    )
    trained = {id(p) for p in phase.parameters()}
    assert {name for name, p in named.items() if id(p) in trained} == wanted
    assert any("scale" in name for name in wanted) == (kind == "mpdr-r")


def test_energy_of_mpdr_r_is_its_error_times_a_factor_that_grows_with_the_scale():
    model, x = made(ManifoldReconstruction), torch.randn(9, 2, generator=rng(1))
    (scale,) = (p for name, p in model.named_parameters() if "scale" in name)
    factors = []
    with torch.no_grad():
        for _ in range(3):
            factor = model.energy(x) / model.codec.error(x)
            torch.testing.assert_close(factor, factor.mean().expand(9))
            factors.append(float(factor.mean()))
            scale += 0.5
    assert factors[0] == pytest.approx(1)
    assert factors[0] < 0.7 * factors[1] < 0.5 * factors[2]


@pytest.mark.parametrize("kind", ["mpdr-s", "mpdr-r"])
def test_first_phase_of_mpdr_is_the_sum_of_all_errors(kind):
    model, x = made(KINDS[kind]), torch.randn(9, 2, generator=rng(1))
    codecs = [*model.manifolds, *([model.codec] if kind == "mpdr-r" else [])]
    assert len(codecs) == 2 + (kind == "mpdr-r")
    torch.testing.assert_close(model.reconstruction_error(x), sum(codec.error(x) for codec in codecs))
    model.objective(x, rng()).backward()
    for codec in codecs:
        assert all(p.grad is not None for p in codec.parameters())


def test_latent_points_are_uniform_on_the_sphere():
    n = 20_000
    z = made(NormalizedAutoencoder).codec.random_latent(n, rng(1)).double()
    torch.testing.assert_close(z.norm(dim=1), torch.ones(n, dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(z.mean(dim=0).abs().max()) < 5 / math.sqrt(3 * n)
    # a coordinate of the sphere in three dimensions is uniform
    assert float((z.T @ z / n - torch.eye(3) / 3).abs().max()) < 5 * math.sqrt(4 / 45 / n)
    assert float(z[:, 0].pow(4).mean()) == pytest.approx(1 / 5, abs=5 * math.sqrt(16 / 225 / n))


# --- autoencoders with a prior or noise ----------------------------------------------------------


def test_denoiser_that_does_nothing_pays_for_the_noise():
    model = made(DenoisingAutoencoder, level=0.3)
    x = torch.randn(20_000, 2, generator=rng(1)) * torch.tensor([1.0, 5.0])
    model.start(x)
    model.codec = nn.Identity()
    noise = 0.3**2 * float(x.var(dim=0).sum())
    assert float(model.objective(x, rng(2))) == pytest.approx(noise, rel=0.05)


def test_denoiser_that_knows_the_answer_pays_nothing():
    model = made(DenoisingAutoencoder, level=0.3)
    x = torch.tensor([[3.0, -1.0]]).repeat(50, 1)
    model.start(torch.randn(50, 2, generator=rng(1)))
    model.codec = Constant(3.0, -1.0)
    assert float(model.objective(x, rng(2))) == 0


@pytest.mark.parametrize(("log_std", "kept"), [(-100.0, -7.0), (0.3, 0.3), (100.0, 2.0)])
def test_widths_of_the_posterior_are_bounded(log_std, kept):
    model = made(VariationalAutoencoder)
    model.encoder = Constant(0.5, 0.0, -2.0, *[log_std] * 3)
    found = model.divergence(torch.zeros(1, 2, dtype=torch.float64))
    want = 0.5 * (0.5**2 + 2**2) + 3 * (0.5 * (math.exp(2 * kept) - 1) - kept)
    assert float(found) == pytest.approx(want, rel=1e-6)


def test_error_of_the_wasserstein_autoencoder_is_in_units_of_the_variance():
    x = torch.randn(200, 2, generator=rng(1)) * torch.tensor([10.0, 30.0])
    x = x - x.mean(dim=0)
    losses = {}
    for weight in (0.0, 1.0, 2.5):
        model = made(WassersteinAutoencoder, weight=weight)
        model.start(x)
        model.decoder = Constant(0.0, 0.0)  # explains nothing
        losses[weight] = float(model.objective(x, rng(2)).detach())
    assert losses[0.0] == pytest.approx(199 / 200)
    assert losses[1.0] != losses[0.0]
    assert losses[2.5] - losses[0.0] == pytest.approx(2.5 * (losses[1.0] - losses[0.0]), rel=1e-4)


def test_uniform_prior_lies_between_minus_one_and_one():
    """Codes at the one or the other corner are equally far from it."""
    values = []
    for sign in (1.0, -1.0):
        model = made(WassersteinAutoencoder, prior="uniform")
        model.encoder = Constant(*[sign * 0.5] * 3)
        model.decoder = Constant(0.0, 0.0)
        values.append(float(model.objective(torch.zeros(400, 2), rng(2))))
    assert values[0] == pytest.approx(values[1], rel=0.5)


def test_mixture_of_two_intervals_has_their_shares():
    """Three of four points around zero, one around ten: at the centres -ln p tells the shares."""
    points = torch.tensor([-1.0, 1.0, 0.0, 10.0, 9.0, 11.0, 1.0, -1.0, 0.0, 1.0, -1.0, 0.0])[:, None].double()
    membership = nn.functional.one_hot((points[:, 0] > 5).long(), 2).double()
    mixture, variances = Mixture.of(points, membership)
    torch.testing.assert_close(variances, torch.full((2, 1), 2 / 3, dtype=torch.float64), atol=1e-5, rtol=0)
    centres = torch.tensor([[0.0], [10.0]], dtype=torch.float64)
    peak = 1 / math.sqrt(2 * math.pi * 2 / 3)
    want = [-math.log(0.75 * peak), -math.log(0.25 * peak)]
    assert mixture.energy(centres).tolist() == pytest.approx(want, abs=1e-5)


# --- likelihoods ---------------------------------------------------------------------------------


def test_flow_is_trained_on_inputs_with_noise_and_scaled_with_it():
    torch.manual_seed(0)
    model = Glow((2,), InputsConfig(), GlowSettings(steps=1, hidden=2, noise=0.5))
    x = torch.randn(15_000, 2, generator=rng(1)) * torch.tensor([1.0, 7.0]) + 3
    model.start(x)
    variance = x.double().var(dim=0, correction=0)
    noise = 0.25 * float(variance.mean())
    assert float(model.noise) ** 2 == pytest.approx(noise, rel=1e-5)
    torch.testing.assert_close(model.std.double().square(), variance + noise, rtol=1e-5, atol=0)
    added = (model.noisy(x, rng(2)) - x).double()
    assert added.square().mean(dim=0).tolist() == pytest.approx([noise, noise], rel=0.06)
    with torch.no_grad():
        want = model.energy(model.noisy(x, rng(3))).mean() / 2
        assert float(model.objective(x, rng(3))) == pytest.approx(float(want), rel=1e-5)


def silent(**settings) -> tuple[PixelCNN, torch.Tensor]:
    """A network that only has its biases, and levels to look at."""
    torch.manual_seed(0)
    model = PixelCNN((1, 2, 2), InputsConfig(), PixelCNNSettings(filters=2, blocks=1, **settings))
    with torch.no_grad():
        model.network.last.weight.zero_()
    return model, torch.zeros(1, 4)


def test_logistics_start_side_by_side_over_the_whole_range():
    model, x = silent(mixtures=3)
    with torch.no_grad():
        model.network.last.bias[6:].zero_()
        model.network.last.bias[:3].zero_()
        log_weights, means, _ = model.mixture(x)
    torch.testing.assert_close(means[0, :, 0], torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(log_weights.exp(), torch.full((1, 3, 4), 1 / 3))


@pytest.mark.parametrize(("raw", "kept"), [(-1e3, math.log(2 / 255) - 2), (-2.0, -2.0), (1e3, 1.0)])
def test_widths_of_logistics_are_bounded(raw, kept):
    model, x = silent(mixtures=2)
    with torch.no_grad():
        model.network.last.bias[4:].fill_(raw)
        log_scales = model.mixture(x)[2]
    torch.testing.assert_close(log_scales, torch.full((1, 2, 4), kept), atol=0.06, rtol=0)


# --- inputs --------------------------------------------------------------------------------------


def test_largest_entry_of_each_component_is_positive():
    layer = PrincipalComponents((6,), 5)
    for seed in range(4):
        layer.fit(torch.randn(50, 6, generator=rng(seed)))
        rows = layer.inverse
        assert (rows.gather(1, rows.abs().argmax(dim=1)[:, None]) > 0).all()
