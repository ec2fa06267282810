"""Compiled chains against plain ones."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from test_engine import SECOND, quick, rng, run_of

from jetad.config import resolve_config
from jetad.errors import ConfigError
from jetad.models import METHODS, model_class
from jetad.objectives import make_phases
from jetad.preprocessing import PREPROCESSORS
from jetad.registry import load
from jetad.samplers.base import ChainConfig, ChainRunner
from jetad.samplers.compiling import check_compiler, compiled_chains
from jetad.samplers.geometry import EUCLIDEAN, SPHERE
from jetad.training.train import train

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch, where it loads its compiler
]


def compiled_functions() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def wells(x: torch.Tensor) -> torch.Tensor:
    return (x.square() - 1).square().sum(dim=1) + 0.3 * x[:, 0]


@pytest.mark.parametrize(
    ("config", "geometry"),
    [
        (ChainConfig(n_steps=6, step_size=0.05), EUCLIDEAN),
        (ChainConfig(n_steps=6, step_size=0.05), SPHERE),
        (ChainConfig(n_steps=6, step_size=0.05, adjusted=False, max_gradient=1.0), EUCLIDEAN),
    ],
    ids=["adjusted", "on the sphere", "unadjusted"],
)
def test_compiled_chains_are_the_plain_ones(config, geometry):
    x0 = torch.nn.functional.normalize(torch.randn(64, 3, generator=rng(1)), dim=1)
    fold = (lambda x: x.clamp(-3, 3)) if geometry is EUCLIDEAN else None
    chains = {}
    for compiled in (False, True):
        runner, before = ChainRunner(config), compiled_functions()
        with compiled_chains(compiled):
            for seed in (2, 3):  # the second with another step size
                chain = runner.run(
                    wells, x0, rng(seed), temperature=torch.tensor(0.5), geometry=geometry,
                    fold=fold, clamp=lambda x: x.clamp(-3, 3),
                )  # fmt: skip
        chains[compiled] = *chain, runner.step_size
        assert (compiled_functions() > before) == compiled
    for plain, other in zip(chains[False], chains[True], strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-5, atol=1e-5)
    assert not torch.equal(chains[True][0], x0)


def test_a_failing_compiler_is_named():
    failing = torch._inductor.config.patch({"cpp.cxx": ("/no/such/compiler",)})
    with failing, pytest.raises(ConfigError, match=r"(?s)training\.compile: .*leave --compile out"):
        check_compiler(torch.device("cpu"))
    check_compiler(torch.device("cpu"))


def test_a_method_without_chains_has_nothing_to_compile():
    with pytest.raises(ConfigError, match="method 'gmm' runs no chains to compile"):
        resolve_config(method="gmm", settings=["training.compile=true"])


def test_a_compiled_training_ends_near_the_plain_one(tmp_path, make_jets):
    config = quick("nae", "features")
    energies = {}
    torch._dynamo.reset()  # so that it compiles what another test has compiled
    for compiled in (False, True):
        before = compiled_functions()
        training = config.members["features"].training.model_copy(update={"compile": compiled})
        member = config.members["features"].model_copy(update={"training": training})
        run = run_of(tmp_path, config.model_copy(update={"members": {"features": member}}), str(compiled))
        train(run, make_jets(160, seed=1))
        assert (compiled_functions() - before > 1) == compiled  # one is the check of the compiler
        energies[compiled] = [r["val_energy"] for r in run.history() if "val_energy" in r]
    assert len(energies[True]) == len(energies[False]) > 2
    np.testing.assert_allclose(energies[True], energies[False], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "representation", "setting"),
    [
        *((method, representation, None) for method in SECOND for representation in METHODS[method].inputs),
        ("nae", "image", "training.contrastive.sampler.kind=cd"),
        ("nae", "image", "training.contrastive.sampler.kind=pcd"),
        ("nae", "image", "network.kind=convolution"),
        ("mpdr-r", "features", "network.manifold_dims=[2,3]"),
        ("mpdr-s", "features", "training.contrastive.sampler.distance=euclidean"),
    ],
)
def test_compiled_steps_of_every_method_are_the_plain_ones(method, representation, setting):
    more = [] if setting is None else [setting]
    member = quick(method, representation, *more).members[representation]
    shape = load(PREPROCESSORS, representation, "representation")(member.preprocessing).shape
    losses = {}
    for compiled in (False, True):
        torch.manual_seed(0)
        model = model_class(method)(shape, member.network, member.model)
        rows = torch.rand(40, *shape, generator=rng(1))
        model.fit_input(rows)
        x = model.prepare(rows)
        phase = make_phases(model, member.training, METHODS[method].phases, len(x))[-1]
        phase.start(x, x)
        generator = rng(2)
        with compiled_chains(compiled):
            losses[compiled] = [float(phase.loss(x, generator)[0].detach()) for _ in range(2)]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-5, atol=1e-6)
