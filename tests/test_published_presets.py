"""Presets that claim a publication hold its numbers, each next to where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from jetad.config import resolve_config
from jetad.presets import preset, presets

NAE = "arXiv:2105.05735; swyoon/normalized-autoencoders, configs/mnist_ho_nae/l2_z32.yml, trainers/nae.py"
MPDR = (
    "arXiv:2310.18677; swyoon/manifold-projection-diffusion-recovery-pytorch, "
    "configs_mpdr/mnist_ho_mpdr/z32_{s,r}.yml, configs_mpdr/mnist_ho_igebm/igebm.yml"
)
JETS = (
    "arXiv:2206.14225; heidelberg-hepml/normalized-autoencoders, configs/jet_nae/jet_test.yml, "
    "pretrained/gf1_convae_zdim3_{qcd,top}tag/jet_test.yml"
)
WNAE = "arXiv:2510.02168; example/config.py of its code"

PIXELS = 28 * 28  # published energies are means over the pixels, ours are sums: T is so many times larger
DIGITS_PER_EPOCH = 352  # batches of 128 in the 45,000 digits of nine classes
JETS_PER_EPOCH = 48  # batches of 2048 in 100,000 jets

RECOVERY = {
    "training.batch_size": 128,
    "training.epochs": 30,
    "training.learning_rate": 1e-4,
    "training.schedule": "constant",
    "training.reduction": "mean",
    "training.encoder_penalty": 1e-4,
    "training.decoder_penalty": 0,
    "training.max_grad_norm": "none",
    "training.contrastive.max_grad_norm": None,
    "training.contrastive.steps": 60 * DIGITS_PER_EPOCH,
    "training.contrastive.schedule": "constant",
    "training.contrastive.average": None,
    "training.contrastive.box": [0, 1],
    "training.contrastive.ceiling": None,
    "training.contrastive.sampler.kind": "recovery",
    "training.contrastive.sampler.min_std": 0.05,
    "training.contrastive.sampler.max_std": 0.3,
    "training.contrastive.sampler.distance": "euclidean",
    "training.contrastive.sampler.latent_tether": 1e-4,
    "training.contrastive.sampler.visible_tether": 1e-4,
    "training.contrastive.sampler.latent_chain.adjusted": False,
    "training.contrastive.sampler.latent_chain.unit_gradient": True,
    "training.contrastive.sampler.latent_chain.noise_std": 0.02,
    "training.contrastive.sampler.visible_chain.adjusted": False,
    "training.contrastive.sampler.visible_chain.unit_gradient": False,
    "training.contrastive.sampler.visible_chain.n_steps": 5,
    "training.contrastive.sampler.visible_chain.step_size": 10,
    "training.contrastive.sampler.visible_chain.noise_std": 0.005,
    "training.contrastive.sampler.visible_chain.max_gradient": None,
    "training.contrastive.sampler.visible_chain.anneal": False,
    "network.kind": "mnist28",
    "network.channels": (32, 64, 64, 128),
    "network.units": 1024,
    "network.latent_dim": 32,
}
JET_NAE = {
    "training.batch_size": 2048,
    "training.learning_rate": 1e-3,
    "training.schedule": "constant",
    "training.reduction": "mean",
    "training.decoder_penalty": 1e-8,
    "training.max_grad_norm": 0.1,
    "training.contrastive.max_grad_norm": "none",
    "training.contrastive.learning_rate": 1e-5,
    "training.contrastive.schedule": "constant",
    "training.contrastive.temperature": 1600,
    "training.contrastive.ceiling": None,
    "training.contrastive.square_penalty": 0,
    "training.contrastive.negative_penalty": 1,
    "training.contrastive.sampler.kind": "omi",
    "training.contrastive.sampler.n_restarts": 0,
    "training.contrastive.sampler.buffer_size": 10_000,
    "training.contrastive.sampler.replay_fraction": 0.95,
    "training.contrastive.sampler.latent_chain.adjusted": False,
    "training.contrastive.sampler.latent_chain.n_steps": 30,
    "training.contrastive.sampler.latent_chain.max_gradient": 0.01,
    "training.contrastive.sampler.latent_chain.limit": "norm",
    "training.contrastive.sampler.visible_chain.adjusted": False,
    "training.contrastive.sampler.visible_chain.n_steps": 30,
    "training.contrastive.sampler.visible_chain.noise_std": 1e-4,
    "training.contrastive.sampler.visible_chain.max_gradient": 0.01,
    "training.contrastive.sampler.visible_chain.limit": "row",
    "training.contrastive.sampler.visible_chain.row_length": 40,
    "training.contrastive.sampler.visible_chain.anneal": True,
    "network.kind": "jet40",
    "network.latent_dim": 3,
    "network.spectral_norm": True,
}

PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "nae-mnist": (
        NAE,
        {
            "training.batch_size": 128,
            "training.epochs": 100,
            "training.learning_rate": 1e-4,
            "training.schedule": "constant",
            "training.reduction": "mean",
            "training.encoder_penalty": 1e-4,
            "training.decoder_penalty": 0,
            "training.max_grad_norm": "none",
            "training.contrastive.max_grad_norm": None,
            "training.contrastive.steps": 50 * DIGITS_PER_EPOCH,
            "training.contrastive.learning_rate": 1e-5,
            "training.contrastive.schedule": "constant",
            "training.contrastive.average": None,
            "training.contrastive.temperature": PIXELS,
            "training.contrastive.box": [0, 1],
            "training.contrastive.ceiling": None,
            "training.contrastive.square_penalty": 0,
            "training.contrastive.negative_penalty": 1,
            "training.contrastive.sampler.kind": "omi",
            "training.contrastive.sampler.n_restarts": 0,
            "training.contrastive.sampler.buffer_size": 10_000,
            "training.contrastive.sampler.replay_fraction": 0.95,
            "training.contrastive.sampler.latent_chain.adjusted": False,
            "training.contrastive.sampler.latent_chain.n_steps": 10,
            "training.contrastive.sampler.latent_chain.step_size": 0.2,
            "training.contrastive.sampler.latent_chain.noise_std": 0.05,
            "training.contrastive.sampler.latent_chain.max_gradient": None,
            "training.contrastive.sampler.latent_chain.anneal": False,
            "training.contrastive.sampler.visible_chain.adjusted": False,
            "training.contrastive.sampler.visible_chain.n_steps": 50,
            "training.contrastive.sampler.visible_chain.step_size": 10,
            "training.contrastive.sampler.visible_chain.noise_std": 0.05,
            "training.contrastive.sampler.visible_chain.max_gradient": 0.01,
            "training.contrastive.sampler.visible_chain.limit": "component",
            "training.contrastive.sampler.visible_chain.anneal": True,
            "network.kind": "mnist28",
            "network.channels": (32, 64, 64, 128),
            "network.units": 1024,
            "network.latent_dim": 32,
        },
    ),
    "mpdr-s-mnist": (
        MPDR,
        {
            **RECOVERY,
            "network.spectral_norm": True,
            "model.output_scale": True,
            "training.contrastive.learning_rate": 1e-4,
            "training.contrastive.square_penalty": 1,
            "training.contrastive.negative_penalty": 0,
            "training.contrastive.sampler.latent_chain.n_steps": 2,
            "training.contrastive.sampler.latent_chain.step_size": 0.05,
        },
    ),
    "mpdr-r-mnist": (
        MPDR,
        {
            **RECOVERY,
            "training.contrastive.learning_rate": 1e-5,
            "training.contrastive.temperature": PIXELS,
            "training.contrastive.square_penalty": 0,
            "training.contrastive.negative_penalty": 1,
            "training.contrastive.sampler.latent_chain.n_steps": 5,
            "training.contrastive.sampler.latent_chain.step_size": 0.1,
        },
    ),
    "igebm-mnist": (
        MPDR,
        {
            "network.spectral_norm": True,
            "model.output_scale": True,
            "training.batch_size": 128,
            "training.max_grad_norm": "none",
            "training.contrastive.steps": 100 * DIGITS_PER_EPOCH,
            "training.contrastive.learning_rate": 1e-4,
            "training.contrastive.schedule": "constant",
            "training.contrastive.box": [0, 1],
            "training.contrastive.ceiling": None,
            "training.contrastive.square_penalty": 1,
            "training.contrastive.sampler.kind": "pcd",
            "training.contrastive.sampler.n_restarts": 0,
            "training.contrastive.sampler.buffer_size": 10_000,
            "training.contrastive.sampler.replay_fraction": 0.95,
            "training.contrastive.sampler.visible_chain.adjusted": False,
            "training.contrastive.sampler.visible_chain.n_steps": 60,
            "training.contrastive.sampler.visible_chain.step_size": 10,
            "training.contrastive.sampler.visible_chain.noise_std": 0.005,
            "training.contrastive.sampler.visible_chain.max_gradient": None,
        },
    ),
    "heidelberg": (
        JETS,
        {
            **JET_NAE,
            "preprocessing.sigma": 2,
            "training.epochs": 100,
            "training.encoder_penalty": 1e-8,
            "training.contrastive.steps": 50 * JETS_PER_EPOCH,
            "training.contrastive.box": [-1000, 1000],  # none
            "training.contrastive.sampler.latent_chain.step_size": 100,
            "training.contrastive.sampler.latent_chain.noise_std": 0.01,
            "training.contrastive.sampler.visible_chain.step_size": 50,
        },
    ),
    "nae-jets": (
        JETS,
        {
            **JET_NAE,
            "preprocessing.sigma": 1,
            "training.epochs": 400,
            "training.encoder_penalty": 1e-9,
            "training.contrastive.steps": 300 * JETS_PER_EPOCH,
            "training.contrastive.box": [0, 1],
            "training.contrastive.sampler.latent_chain.step_size": 50,
            "training.contrastive.sampler.latent_chain.noise_std": 0.01,
            "training.contrastive.sampler.visible_chain.step_size": 50,
        },
    ),
    "nae-jets-top": (
        JETS,
        {
            **JET_NAE,
            "preprocessing.sigma": 1,
            "training.epochs": 500,
            "training.encoder_penalty": 1e-8,
            "training.contrastive.steps": 200 * JETS_PER_EPOCH,
            "training.contrastive.box": [0, 1],
            "training.contrastive.sampler.latent_chain.step_size": 0.1,
            "training.contrastive.sampler.latent_chain.noise_std": 0.05,
            "training.contrastive.sampler.visible_chain.step_size": 100,
        },
    ),
    "wnae-published": (
        WNAE,
        {
            "preprocessing.scaling": "quantile-normal",
            "training.batch_size": 256,
            "training.transport.steps": 400 * 2**13 // 256,
            "training.transport.learning_rate": 5e-3,
            "training.transport.schedule": "constant",
            "training.transport.temperature": 3 * 0.063,  # of a mean over three features
            "training.transport.box": [-3, 3],
            "training.transport.distance": "exact",
            "training.transport.select": "distance",
            "training.transport.differentiable_steps": 10,
            "training.transport.sampler.n_restarts": 0,
            "training.transport.sampler.buffer_size": 10_000,
            "training.transport.sampler.replay_fraction": 0.95,
            "training.transport.sampler.visible_chain.n_steps": 0,  # all ten are differentiated
            "training.transport.sampler.visible_chain.adjusted": False,
            "training.transport.sampler.visible_chain.step_size": 0.22**2 / 2,
            "training.transport.sampler.visible_chain.noise_std": 0.22,
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_is_the_published_one(name):
    source, settings = PUBLISHED[name]
    member = next(iter(resolve_config(preset=name).members.values())).model_dump(mode="json")
    for key, want in settings.items():
        found: Any = member
        for part in key.split("."):
            found = found[part]
        assert found == (want if isinstance(want, (str, list)) or want is None else pytest.approx(want)), (
            f"{name}: {key} ({source})"
        )


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_setting_of_a_published_preset_is_in_the_table(name):
    """What a preset sets and the table does not know has no source."""
    known = set(PUBLISHED[name][1])
    # what our own conventions need: shapes and normalisation of images, inputs of the example of the WNAE
    ours = {
        "preprocessing.representation", "preprocessing.n_eta", "preprocessing.n_phi",
        "preprocessing.normalize", "preprocessing.sigma", "network.kind", "network.latent_dim",
        "network.components", "network.hidden",
    }  # fmt: skip
    if name == "wnae-published":
        ours |= {"training.epochs", "training.learning_rate", "training.max_grad_norm"}

    def keys(section: dict[str, Any], prefix: str = "") -> list[str]:
        found = []
        for key, value in section.items():
            found += keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
        return found

    member = next(iter(preset(name)["members"].values()))
    assert set(keys(member)) - known - ours - {"training.contrastive.sampler.kind"} <= {
        "training.transport.sampler.kind"
    }


def test_no_other_preset_claims_to_be_published():
    claims = {name for name, summary in presets().items() if "published" in summary or "published" in name}
    assert claims == set(PUBLISHED)
