"""The precision of layers: what is set, where, and that scores do not take part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_engine import SECOND, quick, run_of

from jetad.device import computing_in, has_bfloat16
from jetad.models.autoencoder import Autoencoder
from jetad.objectives.contrastive import Contrastive
from jetad.training.train import train

CPU = torch.device("cpu")


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "tf32", "bits"), [("float32", False, 23), ("tf32", True, 23), ("bf16", True, 7)]
)
def test_precision_is_set_inside_and_restored(precision, tf32, bits, monkeypatch):
    monkeypatch.setattr("jetad.device.has_bfloat16", lambda device: True)
    before, x = allowed(), torch.full((1, 1), 1 + 2.0**-12)
    with pytest.raises(KeyError), computing_in(precision, CPU):
        assert allowed() == (tf32, tf32)
        assert bool(x @ torch.ones(1, 1) == 1.0) == (bits < 12)
        raise KeyError
    assert allowed() == before


def test_a_device_without_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr("jetad.device.has_bfloat16", lambda device: False)
    with computing_in("bf16", CPU):
        x = torch.full((1, 1), 1 + 2.0**-12)
        assert not torch.is_autocast_enabled("cpu")
        assert float(x @ torch.ones(1, 1)) == 1 + 2.0**-12


@pytest.mark.parametrize("instructions", [(), ("_is_avx512_bf16_supported",), ("_is_amx_tile_supported",)])
def test_bfloat16_is_asked_of_the_processor(monkeypatch, instructions):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in instructions, raising=False)
    assert has_bfloat16(CPU) == bool(instructions)
    assert not has_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_training_has_its_precision_and_scores_have_float32(tmp_path, make_jets, monkeypatch, precision):
    seen: dict[str, set] = {"loss": set(), "score": set()}

    def watched(method, name):
        def call(self, *args):
            seen[name].add((*allowed(), torch.is_autocast_enabled("cpu")))
            return method(self, *args)

        return call

    monkeypatch.setattr("jetad.device.has_bfloat16", lambda device: True)
    monkeypatch.setattr(Contrastive, "loss", watched(Contrastive.loss, "loss"))
    monkeypatch.setattr(Autoencoder, "score", watched(Autoencoder.score, "score"))
    run = run_of(tmp_path, quick("nae", "features", f"training.precision={precision}"))
    detector = train(run, make_jets(160, seed=1))
    assert np.isfinite(detector.score(make_jets(20, seed=2))).all()
    tf32 = precision != "float32"
    assert seen == {"loss": {(tf32, tf32, precision == "bf16")}, "score": {(False, False, False)}}


@pytest.mark.parametrize("method", [*SECOND, "ae", "dae", "vae", "wae", "dagmm", "glow", "pixelcnn"])
def test_every_method_trains_in_bfloat16_and_adds_in_float32(tmp_path, make_jets, monkeypatch, method):
    monkeypatch.setattr("jetad.device.has_bfloat16", lambda device: True)
    seen = set()
    config = quick(method, "image", "training.precision=bf16", "training.validate_every=2")
    detector = train(run_of(tmp_path, config), make_jets(160, seed=1))
    model = detector.members[0].model
    with computing_in("bf16", CPU):
        x = torch.randn(4, model.input.n_features)
        seen.add(model.energy(x).dtype if hasattr(model, "energy") else torch.float32)
        if hasattr(model, "codec"):
            seen |= {model.codec.encode(x).dtype, model.codec.decode(model.codec.encode(x)).dtype}
    assert seen == {torch.float32}
    assert np.isfinite(detector.score(make_jets(20, seed=2))).all()
