"""What a phase can be told beside its objective: penalties, averages, boxes, schedules, limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_engine import StopAt, quick, rng, run_of, started

from jetad.config import ContrastiveConfig, TrainingConfig, TransportConfig, resolve_config
from jetad.errors import ConfigError, Interrupted
from jetad.models.igebm import ScalarEnergy
from jetad.models.mpdr import ManifoldReconstruction
from jetad.models.nae import NormalizedAutoencoder
from jetad.models.networks.dense import DenseConfig
from jetad.models.wnae import WassersteinNormalizedAutoencoder
from jetad.objectives import make_phases
from jetad.objectives.base import WeightPenalty
from jetad.objectives.contrastive import Contrastive
from jetad.objectives.reconstruction import Reconstruction
from jetad.objectives.transport import Transport
from jetad.samplers.base import ChainConfig, ChainRunner, Negatives
from jetad.samplers.langevin import langevin
from jetad.samplers.persistent import PersistentConfig
from jetad.training.train import train

DENSE = DenseConfig(components=None, hidden=(6,), latent_dim=3)


def nae() -> tuple[NormalizedAutoencoder, torch.Tensor]:
    torch.manual_seed(0)
    return NormalizedAutoencoder((5,), DENSE), torch.rand(40, 5, generator=rng(1))


# --- gradients in chains -----------------------------------------------------------------------------


def one_step(limit: str, row_length: int | None, slope: torch.Tensor) -> torch.Tensor:
    """A chain of one step without noise on a linear energy goes against its slope."""
    chain = langevin(
        lambda x: x @ slope, torch.zeros(1, 4), n_steps=1, step_size=1.0, noise_std=0.0, max_gradient=1.0,
        limit=limit, row_length=row_length,
    )  # fmt: skip
    return -chain.x[0]


def test_gradients_are_limited_as_a_whole_by_component_or_by_row():
    slope = torch.tensor([3.0, 4.0, 0.3, 0.4])
    torch.testing.assert_close(one_step("norm", None, slope), slope / slope.norm())
    torch.testing.assert_close(one_step("component", None, slope), torch.tensor([1.0, 1.0, 0.3, 0.4]))
    torch.testing.assert_close(one_step("row", 2, slope), torch.tensor([0.6, 0.8, 0.3, 0.4]))
    torch.testing.assert_close(one_step("row", None, slope), one_step("norm", None, slope))
    # a slope of zero stays one: the published code divides by zero here
    assert torch.equal(one_step("row", 2, torch.zeros(4)), torch.zeros(4))
    with pytest.raises(ValueError, match="no images with rows of 3"):
        one_step("row", 3, slope)


def test_annealed_noise_falls_from_the_second_step_on():
    noise = ChainRunner(ChainConfig(n_steps=4, adjusted=False, step_size=1e-9, noise_std=0.6, anneal=True))
    chain = noise.run(lambda x: 0 * x.sum(dim=1), torch.zeros(40_000, 1, dtype=torch.float64), rng())
    # 1, 1, 1/2 and 1/3 of the first
    want = 0.36 * (1 + 1 + 1 / 4 + 1 / 9)
    assert float(chain.x.var()) == pytest.approx(want, rel=0.03)


# --- penalties ---------------------------------------------------------------------------------------


def test_weight_penalties_are_sums_of_squares_of_encoder_and_decoder():
    model, x = nae()
    squares = [
        sum(float(p.detach().square().sum()) for p in part.parameters())
        for part in (model.codec.encoder, model.codec.decoder)
    ]
    assert float(WeightPenalty(0.5, 0.25)(model.coders()).detach()) == pytest.approx(
        0.5 * squares[0] + 0.25 * squares[1], rel=1e-5
    )
    config = TrainingConfig(encoder_penalty=0.5, decoder_penalty=0.25)
    plain, _ = Reconstruction(model, TrainingConfig(), 40).loss(x, rng())
    heavy, metrics = Reconstruction(model, config, 40).loss(x, rng())
    assert float((heavy - plain).detach()) == pytest.approx(0.5 * squares[0] + 0.25 * squares[1], rel=1e-5)
    assert float(metrics["energy_pos"]) == pytest.approx(float(plain.detach()))  # the error alone


def test_second_phase_penalises_the_energy_and_not_the_manifolds():
    torch.manual_seed(0)
    model, x = ManifoldReconstruction((5,), DENSE), torch.rand(40, 5, generator=rng(1))
    second = {"ceiling": None, "sampler": {"kind": "cd", "visible_chain": {"n_steps": 0}}}
    losses = []
    for weight in (0.0, 0.5):
        config = TrainingConfig(encoder_penalty=weight, contrastive=second)
        phase = make_phases(model, config, ("contrastive",), 40)[0]
        phase.start(x, x)
        losses.append(float(phase.loss(x, rng())[0].detach()))
    encoder = sum(float(p.detach().square().sum()) for p in model.codec.encoder.parameters())
    assert losses[1] - losses[0] == pytest.approx(0.5 * encoder, rel=1e-5)


@pytest.mark.parametrize("method", ["ae", "vae", "mpdr-s"])
def test_weights_fall_under_a_penalty_in_every_method_with_an_autoencoder(tmp_path, make_jets, method):
    sizes = []
    for name, weight in (("free", 0.0), ("held", 100.0)):
        config = quick(method, "features", f"training.encoder_penalty={weight}", "training.learning_rate=0.1")
        run, jets, _ = started(tmp_path, make_jets, config, name)
        model = train(run, jets).members[0].model
        sizes.append(sum(float(p.square().sum()) for e, _ in model.coders() for p in e.parameters()))
    assert sizes[1] < 0.9 * sizes[0]
    with pytest.raises(ConfigError, match=r"'igebm' trains no autoencoder; remove .*encoder_penalty"):
        quick("igebm", "features", "training.encoder_penalty=1")


def test_manifold_of_mpdr_r_is_the_autoencoder_of_the_first_phase(tmp_path, make_jets):
    for more, same in ((), True), (("network.manifold_dims=[3]",), False):
        run, jets, _ = started(tmp_path, make_jets, quick("mpdr-r", "features", *more), f"run{same}")
        first = {}
        start = Contrastive.start

        def watched(self, x_train, x_val, first=first, start=start):
            found = start(self, x_train, x_val)
            first.update({k: v.clone() for k, v in self.model.state_dict().items()})
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Contrastive, "start", watched)
            kept = train(run, jets).members[0].model.state_dict()
        manifold = [k for k in kept if k.startswith("manifolds.0.") and k.endswith("weight")]
        assert manifold
        for name in manifold:
            mine = name.replace("manifolds.0.", "codec.")
            assert torch.equal(kept[name], first[name])  # frozen in the second phase
            assert torch.equal(first[name], first[mine]) == same
            assert not torch.equal(kept[mine], first[mine])


def test_first_phase_can_take_the_mean_over_the_inputs():
    model, x = nae()
    total, _ = Reconstruction(model, TrainingConfig(), 40).loss(x, rng())
    mean, _ = Reconstruction(model, TrainingConfig(reduction="mean"), 40).loss(x, rng())
    assert float(mean.detach()) == pytest.approx(float(total.detach()) / 5)


def test_penalty_on_negatives_alone_leaves_the_background_out():
    """Chains of no steps: the negatives are the batch, so that every term is known."""
    torch.manual_seed(0)
    model, x = ManifoldReconstruction((5,), DENSE), torch.rand(40, 5, generator=rng(1))
    with torch.no_grad():
        model.scale.fill_(2.0)
        u = model.codec.error(x) / 0.5
        torch.testing.assert_close(model.energy(x), 4 * model.codec.error(x))
    base = {"ceiling": None, "temperature": 0.5, "sampler": {"kind": "cd", "visible_chain": {"n_steps": 0}}}
    for more, want in (
        ({}, 0.0),
        ({"negative_penalty": 0.3}, 0.3 * float(u.square().mean())),  # of the error without its scale
        ({"square_penalty": 0.3}, 0.6 * float((4 * u).square().mean())),
    ):
        phase = Contrastive(model, ContrastiveConfig(**base, **more))
        phase.start(x, x)
        loss, _ = phase.loss(x, rng())
        assert float(loss.detach()) == pytest.approx(want, rel=1e-5, abs=1e-6)


def test_the_scale_of_mpdr_r_is_trained_in_the_second_phase():
    torch.manual_seed(0)
    model = ManifoldReconstruction((5,), DENSE)
    assert any(p is model.scale for p in model.energy_parameters())
    assert not any(p is q for p in model.energy_parameters() for q in model.manifolds.parameters())


# --- box, schedules ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["contrastive", "transport"])
def test_box_is_fixed_or_that_of_the_background(name):
    torch.manual_seed(0)
    x = torch.rand(40, 5, generator=rng(1))
    kinds = {"contrastive": (Contrastive, ContrastiveConfig), "transport": (Transport, TransportConfig)}
    phase_class, config_class = kinds[name]
    for box, low, high in (((0.0, 1.0), torch.zeros(5), torch.ones(5)), (None, x.amin(0), x.amax(0))):
        model = WassersteinNormalizedAutoencoder((5,), DENSE)
        phase_class(model, config_class(box=box, box_margin=0.0)).start(x, x)
        torch.testing.assert_close(model.low, low)
        torch.testing.assert_close(model.high, high)
    with pytest.raises(ConfigError, match=r"no width: \[1\.0, 1\.0\]; give \[low, high\]"):
        resolve_config(settings=["training.contrastive.box=[1, 1]"])


def test_learning_rates_are_constant_or_fall():
    model, _ = nae()
    phases = {
        schedule: make_phases(
            model,
            TrainingConfig(
                schedule="constant" if schedule == "constant" else "one-cycle", epochs=5, batch_size=10,
                contrastive={"steps": 10, "learning_rate": 0.1, "schedule": schedule},
            ),
            ("reconstruction", "contrastive"),
            40,
        )
        for schedule in ("constant", "linear")
    }  # fmt: skip
    for phase in phases["constant"]:
        assert len({phase.learning_rate(k) for k in range(phase.n_steps)}) == 1
    falling = [phases["linear"][1].learning_rate(k) for k in range(10)]
    assert falling == pytest.approx([0.1] * 6 + [0.08, 0.06, 0.04, 0.02])


def test_each_phase_has_its_limit_of_gradients():
    model, _ = nae()
    for first, second, want in ((3.0, None, [3.0, 3.0]), (3.0, 0.5, [3.0, 0.5]), ("none", None, [None, None]),
                                (0.1, "none", [0.1, None])):  # fmt: skip
        config = TrainingConfig(max_grad_norm=first, contrastive={"max_grad_norm": second})
        phases = make_phases(model, config, ("reconstruction", "contrastive"), 40)
        assert [phase.max_grad_norm for phase in phases] == want


@pytest.mark.parametrize("value", ["some", "0", "-1", "null"])
@pytest.mark.parametrize("where", ["training", "training.contrastive"])
def test_a_limit_of_gradients_that_is_none_is_explained(where, value):
    if (where, value) == ("training.contrastive", "null"):
        return  # that of the first phase
    with pytest.raises(ConfigError, match=r"max_grad_norm: must be a number above 0, or none, found"):
        resolve_config(settings=[f"{where}.max_grad_norm={value}"])


# --- the average of the weights ----------------------------------------------------------------------


AVERAGED = ["training.contrastive.average=0.9", "training.contrastive.steps=9", "training.validate_every=4"]


def test_what_is_kept_is_the_exponential_average_of_the_weights(tmp_path, make_jets, monkeypatch):
    from jetad.training.loop import Trainer

    seen: list[dict[str, torch.Tensor]] = []
    update = Trainer._update_average

    def watched(self, phase):
        update(self, phase)
        if phase.average is not None:
            seen.append({k: v.clone() for k, v in self.model.state_dict().items()})

    monkeypatch.setattr(Trainer, "_update_average", watched)
    run, jets, _ = started(tmp_path, make_jets, quick("nae", "features", *AVERAGED))
    kept = train(run, jets).members[0].model.state_dict()
    assert len(seen) == 9
    for name, value in kept.items():
        average = seen[0][name].double()
        for step, weights in enumerate(seen[1:], start=2):
            average = average.lerp(weights[name].double(), 1 - min(0.9, (1 + step) / (3 + step)))
        torch.testing.assert_close(value.double(), average, rtol=1e-5, atol=1e-7)
    assert any(not torch.allclose(kept[k], seen[-1][k]) for k in kept)


@pytest.mark.parametrize(("method", "select"), [("nae", "last"), ("nae", "distance"), ("mpdr-r", "last")])
@pytest.mark.parametrize("after", [2, 7, 11])
def test_averaged_training_resumes_bit_for_bit(tmp_path, make_jets, method, select, after):
    config = quick(
        method, "features", *AVERAGED, f"training.contrastive.select={select}",
        "training.checkpoint_minutes=0",
    )  # fmt: skip
    whole, jets, _ = started(tmp_path, make_jets, config, "whole")
    train(whole, jets)
    with pytest.raises(Interrupted):
        train(run_of(tmp_path, config, "parts"), jets, stop=StopAt(after))
    parts = run_of(tmp_path, config, "parts")
    train(parts, jets)
    assert parts.model_hash() == whole.model_hash()
    assert parts.history() == whole.history()


# --- the end of a phase ------------------------------------------------------------------------------


def test_phase_ends_when_negatives_have_the_energy_of_the_background():
    model, _ = nae()
    phase = Contrastive(model, ContrastiveConfig(balance=0.9))
    assert not phase.enough({"val_balance": 0.89})
    assert phase.enough({"val_balance": 0.91})
    assert not Contrastive(model, ContrastiveConfig()).enough({"val_balance": 1e9})


def test_balance_is_one_of_medians_and_a_few_chains_that_run_away_do_not_move_it(monkeypatch):
    model, x = nae()
    phase = Contrastive(model, ContrastiveConfig(balance=0.9))
    phase.start(x, x)
    ends = x[:20].clone()
    monkeypatch.setattr(phase.sampler, "negatives", lambda *args: Negatives(ends, ends, {}))
    _, before = phase.validate(x, torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.energy(ends).median() / model.energy(x[:1000]).median()
    assert before["val_balance"] == pytest.approx(float(expected))
    ends[:2] += 1000.0
    _, after = phase.validate(x, torch.Generator().manual_seed(1))
    assert after["val_energy_neg"] > 100 * before["val_energy_neg"]
    assert after["val_balance"] < 1.5 * before["val_balance"]


@pytest.mark.parametrize("average", [None, 0.9])
def test_phase_that_ends_early_resumes_bit_for_bit(tmp_path, make_jets, average):
    more = [] if average is None else [f"training.contrastive.average={average}"]
    config = quick(
        "nae", "features", "training.contrastive.balance=1e-6", "training.contrastive.steps=50",
        "training.checkpoint_minutes=0", *more,
    )  # fmt: skip
    whole, jets, _ = started(tmp_path, make_jets, config, "whole")
    train(whole, jets)
    steps = [r["phase_step"] for r in whole.history() if r["phase"] == "contrastive"]
    assert max(steps) == 4  # the first validation
    with pytest.raises(Interrupted):
        train(run_of(tmp_path, config, "parts"), jets, stop=StopAt(8))  # just after the phase has ended
    parts = run_of(tmp_path, config, "parts")
    train(parts, jets)
    assert parts.model_hash() == whole.model_hash()
    assert parts.history() == whole.history()


# --- persistent chains of the transport phase --------------------------------------------------------


class Slope(ScalarEnergy):
    """Energy along the first input: noise-free steps of size s move it by -s a step."""

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] + 0 * sum(p.sum() for p in self.network.parameters())


@pytest.mark.parametrize("n_steps", [0, 2])
def test_transport_keeps_the_ends_of_its_differentiated_steps(n_steps):
    model, x = Slope((2,), DENSE), torch.rand(8, 2, generator=rng(1))
    chain = ChainConfig(n_steps=n_steps, adjusted=False, step_size=0.25, noise_std=0.0)
    sampler = PersistentConfig(n_restarts=0, buffer_size=8, replay_fraction=1.0, visible_chain=chain)
    phase = Transport(
        model,
        TransportConfig(differentiable_steps=3, sampler=sampler, box=(-100.0, 100.0), temperature=1.0,
                        distance="energy"),
    )  # fmt: skip
    phase.start(x, x)
    ends, _ = phase.negatives(8, rng(2))
    kept = phase.sampler.buffer.state_dict()["points"].clone()
    assert torch.equal(kept, ends.detach())
    after, _ = phase.negatives(8, rng(3))
    # every chain goes on from an end: one of them, lower by the steps of this call
    started_at = after.detach() + torch.tensor([0.25 * (n_steps + 3), 0.0])
    distance = (started_at[:, None] - kept[None]).abs().amax(dim=2).amin(dim=1)
    assert float(distance.max()) < 1e-4


def test_validation_of_transport_depends_on_the_weights_and_moves_no_chain():
    torch.manual_seed(0)
    model = WassersteinNormalizedAutoencoder((2,), DENSE)
    x = torch.rand(64, 2, generator=rng(1))
    chain = ChainConfig(n_steps=0, adjusted=False, step_size=0.02, noise_std=0.0)
    sampler = PersistentConfig(n_restarts=0, visible_chain=chain)
    phase = Transport(model, TransportConfig(differentiable_steps=5, sampler=sampler, temperature=0.05))
    phase.start(x, x)
    phase.loss(x, rng(2))
    before = phase.sampler.state_dict()["buffer"]["points"].clone()
    criterion, _ = phase.validate(x, rng(3))
    assert torch.equal(phase.sampler.state_dict()["buffer"]["points"], before)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng(4)))
    other, _ = phase.validate(x, rng(3))
    assert not np.isclose(criterion, other)  # published: the same for trained and random weights
