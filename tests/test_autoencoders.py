"""Denoising, variational, Wasserstein and mixture autoencoders against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from test_engine import quick, rng, run_of

from jetad.config import resolve_config
from jetad.errors import ConfigError
from jetad.models import dagmm, vae
from jetad.models.dagmm import Mixture, MixtureAutoencoder, MixtureSettings
from jetad.models.denoising import DenoisingAutoencoder, DenoisingSettings
from jetad.models.distances import mean_discrepancy
from jetad.models.networks.dense import DenseConfig
from jetad.models.vae import VariationalAutoencoder, VariationalSettings
from jetad.models.wae import WassersteinAutoencoder, WassersteinSettings
from jetad.training.train import train

PLAIN = DenseConfig(components=None, hidden=(16,), latent_dim=2)

# --- denoising -----------------------------------------------------------------------------------


def test_denoising_without_noise_is_the_plain_autoencoder_bit_for_bit(tmp_path, make_jets):
    jets, weights = make_jets(160, seed=1), []
    for method, more in (("ae", ()), ("dae", ("model.level=0",)), ("dae", ())):
        run = run_of(tmp_path, quick(method, "features", *more), f"{method}{len(more)}")
        train(run, jets)
        weights.append({k: v for k, v in run.load_weights().items() if "codec" in k})
    plain, without, noisy = weights
    assert plain.keys() == without.keys()
    assert all(torch.equal(plain[k], without[k]) for k in plain)
    assert not all(torch.equal(plain[k], noisy[k]) for k in plain)


def denoising(**settings) -> tuple[DenoisingAutoencoder, torch.Tensor]:
    torch.manual_seed(0)
    model = DenoisingAutoencoder((3,), PLAIN, DenoisingSettings(**settings))
    x = torch.randn(20_000, 3, generator=rng(1)) * torch.tensor([1.0, 5.0, 0.1])
    model.start(x)
    return model, x


def test_noise_is_in_units_of_the_spread_of_each_input():
    model, x = denoising(level=0.3)
    added = model.corrupted(x, rng(2)) - x
    np.testing.assert_allclose(added.std(dim=0) / x.std(dim=0), 0.3, rtol=0.03)
    assert torch.equal(added, model.corrupted(x, rng(2)) - x)
    assert not torch.equal(added, model.corrupted(x, rng(3)) - x)


def test_salt_and_pepper_are_the_extremes_of_the_background():
    model, x = denoising(noise="salt-and-pepper", level=0.4)
    noisy = model.corrupted(x, rng(2))
    salt, pepper = noisy == x.max(dim=0).values, noisy == x.min(dim=0).values
    assert float(salt.float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(pepper.float().mean()) == pytest.approx(0.2, abs=0.01)
    assert torch.equal(torch.where(salt | pepper, x, noisy), x)


def test_the_clean_jet_is_scored():
    model, x = denoising(level=3.0)
    torch.testing.assert_close(model.energy(x[:9]), (x[:9] - model.codec(x[:9])).square().sum(dim=1))


# --- variational ---------------------------------------------------------------------------------


def linear_vae(widening: float = 1.0, **settings) -> tuple[VariationalAutoencoder, torch.Tensor, np.ndarray]:
    """A VAE whose decoder is linear and whose encoder is the exact posterior, times a width; jets; -ln p."""
    model = VariationalAutoencoder((5,), PLAIN, VariationalSettings(**settings)).double()
    basis = torch.linalg.qr(torch.randn(5, 2, generator=rng(3), dtype=torch.float64)).Q
    w = basis * torch.tensor([1.5, 0.7], dtype=torch.float64)  # orthogonal: the posterior is diagonal
    b, s = torch.linspace(-1, 1, 5, dtype=torch.float64), 0.4
    precision = 1 + w.square().sum(dim=0) / s**2
    model.decoder, model.encoder = torch.nn.Linear(2, 5).double(), torch.nn.Linear(5, 4).double()
    with torch.no_grad():
        model.log_std.fill_(math.log(s))
        model.decoder.weight.copy_(w)
        model.decoder.bias.copy_(b)
        mean = w.T / s**2 / precision[:, None]
        model.encoder.weight.copy_(torch.cat([mean, torch.zeros(2, 5)]))
        model.encoder.bias.copy_(torch.cat([-mean @ b, math.log(widening) - 0.5 * precision.log()]))
    x = b + 2 * torch.randn(50, 5, generator=rng(4), dtype=torch.float64)
    exact = -multivariate_normal(b.numpy(), w.numpy() @ w.numpy().T + s**2 * np.eye(5)).logpdf(x.numpy())
    return model, x, exact


def test_importance_sampled_likelihood_is_the_gaussian_marginal():
    with torch.no_grad():
        # drawn from the exact posterior every single point gives the answer
        model, x, exact = linear_vae(draws=1)
        np.testing.assert_allclose(model.energy(x), exact, rtol=1e-10)
        model, x, exact = linear_vae(widening=1.5, draws=4096)
        np.testing.assert_allclose(model.energy(x), exact, atol=0.01)
        few, _, _ = linear_vae(widening=1.5, draws=4)
        assert np.abs(few.energy(x).numpy() - exact).max() > 0.02


def bounds(model: VariationalAutoencoder, x: torch.Tensor) -> np.ndarray:
    """Minus the bound of each jet, averaged over many draws."""
    n = 4000
    with torch.no_grad():
        return np.array([float(model.objective(one.expand(n, -1), rng(5))) for one in x[:20]])


def test_bound_is_below_the_likelihood_and_touches_it_at_the_posterior():
    model, x, exact = linear_vae()
    np.testing.assert_allclose(bounds(model, x), exact[:20], atol=0.1)
    wide, _, _ = linear_vae(widening=1.5)
    # KL of a Gaussian 1.5 times too wide, in two directions
    gap = 2 * (0.5 * (1.5**2 - 1) - math.log(1.5))
    np.testing.assert_allclose(bounds(wide, x), exact[:20] + gap, atol=0.15)


def test_reconstruction_score_is_the_mean_over_the_posterior():
    model, x, _ = linear_vae(score="reconstruction", draws=4096)
    with torch.no_grad():
        _, log_std = model.posterior(x)
        s2 = float(model.log_std.exp()) ** 2
        w2 = model.decoder.weight.square().sum(dim=0)
        error = (x - model.reconstruct(x)).square().sum(dim=1) + ((2 * log_std).exp() * w2).sum(dim=1)
        wanted = 0.5 * error / s2 + 2.5 * math.log(2 * math.pi * s2)
        np.testing.assert_allclose(model.energy(x), wanted, rtol=2e-3)


def test_memory_of_scoring_is_bounded(monkeypatch):
    model, x, _ = linear_vae(widening=1.5)
    with torch.no_grad():
        whole = model.energy(x)
        sizes: list[int] = []
        model.decoder.register_forward_hook(lambda module, z, y: sizes.append(y.numel()))
        monkeypatch.setattr(vae, "_VALUES", 32 * 5 * 7)
        torch.testing.assert_close(model.energy(x), whole)
    assert len(sizes) == 8
    assert max(sizes) == 32 * 5 * 7


def test_decoder_width_is_in_units_of_the_spread_and_moves_only_if_told():
    x = torch.randn(5000, 3, generator=rng(1)) * 7
    for train_std in (False, True):
        model = VariationalAutoencoder((3,), PLAIN, VariationalSettings(decoder_std=0.2, train_std=train_std))
        model.start(x)
        assert float(model.log_std.detach().exp()) == pytest.approx(0.2 * 7, rel=0.02)
        model.objective(x[:50], rng()).backward()
        assert (model.log_std.grad is not None) == train_std


# --- the mean discrepancy and the Wasserstein autoencoder ----------------------------------------


def test_discrepancy_of_one_distribution_averages_zero():
    g = rng(1)
    for bandwidth in (1.0, None):
        values = [
            float(mean_discrepancy(torch.randn(8, 2, generator=g), torch.randn(8, 2, generator=g), bandwidth))
            for _ in range(1000)
        ]
        error = np.std(values) / math.sqrt(len(values))
        assert error < 0.008
        assert abs(np.mean(values)) < 3.5 * error  # the biased estimate is off by 0.2
        assert min(values) < 0


@pytest.mark.parametrize("bandwidth", [0.7, 1.5])
def test_discrepancy_of_shifted_normals_is_the_closed_form(bandwidth):
    g, shift = rng(2), torch.tensor([0.8, -0.3, 0.5])
    b2 = bandwidth**2
    wanted = 2 * (b2 / (b2 + 2)) ** 1.5 * (1 - math.exp(-float(shift.square().sum()) / (2 * (b2 + 2))))
    pairs = (torch.randn(2, 200, 3, generator=g) for _ in range(60))
    values = [float(mean_discrepancy(x, y + shift, bandwidth)) for x, y in pairs]
    error = np.std(values) / math.sqrt(len(values))
    assert error < 0.04 * wanted
    assert np.mean(values) == pytest.approx(wanted, abs=3 * error)


def test_bandwidth_comes_from_the_medians_and_has_no_gradient():
    x = torch.randn(31, 2, generator=rng(1), dtype=torch.float64, requires_grad=True)
    y = 3 * torch.randn(31, 2, generator=rng(2), dtype=torch.float64)
    pairs = np.triu_indices(31, 1)
    medians = [
        np.median(((v[:, None] - v[None]) ** 2).sum(-1)[pairs]) for v in (x.detach().numpy(), y.numpy())
    ]
    b = math.sqrt(np.mean(medians))
    found, wanted = mean_discrepancy(x, y), mean_discrepancy(x, y, b)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
    (g1,) = torch.autograd.grad(found, x)
    (g2,) = torch.autograd.grad(wanted, x)
    torch.testing.assert_close(g1, g2, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("prior", ["gaussian", "uniform"])
def test_codes_follow_the_prior(prior):
    """Training on the discrepancy alone moves codes of a skewed sample to the prior."""
    torch.manual_seed(0)
    settings = WassersteinSettings(prior=prior, weight=100.0)
    model = WassersteinAutoencoder(
        (2,), DenseConfig(components=None, hidden=(32, 32), latent_dim=2), settings
    )
    g = rng(1)
    x = torch.rand(4000, 2, generator=g).square()
    model.start(x)
    with torch.no_grad():
        before = model.diagnostics(x[:1000])["discrepancy"]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(200):
        optimizer.zero_grad()
        model.objective(x[(step * 128) % 3840 :][:128], g).backward()
        optimizer.step()
    with torch.no_grad():
        after = model.diagnostics(x[:1000])
        z = model.encode(x)
    assert after["discrepancy"] < 0.05 * before
    assert after["dead_latents"] == 0
    variance = 1.0 if prior == "gaussian" else 1 / 3
    np.testing.assert_allclose(z.var(dim=0), variance, rtol=0.3)
    if prior == "uniform":
        assert float(z.abs().max()) <= 1


# --- the mixture ---------------------------------------------------------------------------------


def test_mixture_energy_is_that_of_scipy():
    g = rng(1)
    points = torch.randn(300, 4, generator=g, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1, 3.0])
    membership = torch.softmax(3 * torch.randn(300, 3, generator=g, dtype=torch.float64), dim=1)
    mixture, variances = Mixture.of(points, membership)
    p, gamma = points.numpy(), membership.numpy()
    density = 0.0
    for k in range(3):
        mean = np.average(p, axis=0, weights=gamma[:, k])
        covariance = np.cov(p.T, aweights=gamma[:, k], ddof=0)
        floor = 1e-6 + 1e-9 * np.trace(covariance)
        np.testing.assert_allclose(variances[k], np.diag(covariance) + floor, rtol=1e-10)
        density += gamma[:, k].mean() * multivariate_normal(mean, covariance + floor * np.eye(4)).pdf(p)
    np.testing.assert_allclose(mixture.energy(points), -np.log(density), rtol=1e-8)


def test_degenerate_and_empty_components_stay_finite():
    x = torch.randn(64, 1, generator=rng(1), dtype=torch.float64)
    points = torch.cat([x, x, torch.zeros(64, 1), 1e5 * x], dim=1).requires_grad_(True)
    membership = torch.zeros(64, 2, dtype=torch.float64)
    membership[:, 0] = 1
    mixture, variances = Mixture.of(points, membership)
    loss = mixture.energy(points).mean() + 1e-9 * variances.reciprocal().sum()
    (gradient,) = torch.autograd.grad(loss, points)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(mixture.energy(1e6 * points)).all()


def test_mixture_is_measured_over_all_training_background(monkeypatch):
    torch.manual_seed(0)
    model = MixtureAutoencoder((3,), PLAIN, MixtureSettings(components=2))
    x = torch.randn(1000, 3, generator=rng(1))
    model.finalize(x[:100])
    first = model.mixture.mean.clone()
    model.finalize(x)
    with torch.no_grad():
        points = model.points(x, model.encode(x), model.reconstruct(x))
        gamma = torch.softmax(model.membership(points).double(), dim=1)
    wanted, _ = Mixture.of(points.double(), gamma)
    for found, value in zip(model.mixture, wanted, strict=True):
        torch.testing.assert_close(found, value)
    assert not torch.allclose(first, model.mixture.mean)
    monkeypatch.setattr(dagmm, "_BLOCK", 77)
    model.finalize(x)
    torch.testing.assert_close(model.mixture.mean, wanted.mean)


def test_error_features_are_relative_distance_and_cosine():
    model = MixtureAutoencoder((3,), PLAIN)
    x, y = torch.tensor([[3.0, 4.0, 0.0]]), torch.tensor([[0.0, 4.0, 0.0]])
    points = model.points(x, torch.tensor([[7.0, 8.0]]), y)
    torch.testing.assert_close(points, torch.tensor([[7.0, 8.0, 0.6, 0.8]]))
    assert torch.isfinite(model.points(0 * x, torch.zeros(1, 2), 0 * y)).all()


def test_penalty_and_energy_have_their_weights():
    x = torch.randn(200, 3, generator=rng(1))
    values = {}
    for energy, penalty in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.1, 0.005)):
        torch.manual_seed(0)
        model = MixtureAutoencoder((3,), PLAIN, MixtureSettings(energy_weight=energy, penalty_weight=penalty))
        model.start(x)
        values[energy, penalty] = float(model.objective(x, rng()).detach())
        if energy == penalty == 0:
            model.finalize(x)
            with torch.no_grad():
                assert values[0.0, 0.0] == pytest.approx(model.diagnostics(x)["unexplained"], rel=1e-5)
                mean_energy = float(model.energy(x).mean())
    base = values[0.0, 0.0]
    assert values[1.0, 0.0] - base == pytest.approx(mean_energy, rel=1e-4)
    wanted = base + 0.1 * (values[1.0, 0.0] - base) + 0.005 * (values[0.0, 1.0] - base)
    assert values[0.1, 0.005] == pytest.approx(wanted, rel=1e-4)


# --- settings ------------------------------------------------------------------------------------


def test_settings_of_methods_are_checked():
    config = resolve_config(method="vae", settings=["model.draws=7", "model.score=reconstruction"])
    assert {m.model.draws for m in config.members.values()} == {7}
    with pytest.raises(ConfigError, match=r"unknown setting 'members\.image\.model\.drows'.*: draws"):
        resolve_config(method="vae", settings=["model.drows=7"])
    with pytest.raises(ConfigError, match=r"members\.image\.model\.prior"):
        resolve_config(method="wae", settings=["model.prior=sphere"])


# --- relative errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ae", "nae", "dae", "mpdr-r", "wnae"])
def test_relative_score_divides_by_the_squared_norm(name):
    """And leaves the energy, which training and chains see, as it is."""
    from jetad.models import model_class

    kind = model_class(name)
    torch.manual_seed(1)
    plain = kind((3,), PLAIN)
    relative = kind((3,), PLAIN, kind.Settings(score="relative", offset=0.5))
    relative.load_state_dict(plain.state_dict())
    x = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0.1, -0.3, 0.2]])
    assert torch.equal(plain.energy(x), relative.energy(x))
    assert torch.equal(plain.score_inputs(x), plain.energy(x))
    expected = plain.energy(x) / torch.tensor([0.5, 9.5, 0.64])
    torch.testing.assert_close(relative.score_inputs(x), expected)
