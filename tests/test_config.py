"""One configuration from defaults, a file and single values; every mistake named."""

from __future__ import annotations

import pytest

from jetad.config import read_config, resolve_config
from jetad.errors import ConfigError


def test_defaults_survive_yaml():
    config = resolve_config()
    assert config.method == "gmm"
    assert set(config.members) == {"image", "features"}
    assert read_config(config.to_yaml()) == config


@pytest.mark.parametrize(
    ("given", "method"),
    [
        ({}, "gmm"),
        ({"representation": "image"}, "gmm"),
        ({"settings": ["network.components=10"]}, "gmm"),
        ({"settings": ["model.components=3"]}, "gmm"),
        ({"settings": ["members.features.preprocessing.observables=[girth]"]}, "gmm"),
        ({"representation": "constituents"}, "nae"),
        ({"settings": ["training.epochs=5"]}, "nae"),
        ({"settings": ["members.image.network.kind=dense"]}, "nae"),
        ({"text": "training: {contrastive: {steps: 3}}"}, "nae"),
        ({"text": "members: {image: {training: {epochs: 3}}}"}, "nae"),
        ({"text": "members: {constituents: {}}"}, "nae"),
    ],
)
def test_settings_of_a_network_choose_the_network(given, method, caplog):
    assert resolve_config(**given).method == method
    assert ("'gmm', the default method, does not take" in caplog.text) == (method != "gmm")
    caplog.clear()
    assert (
        resolve_config(method="ae", **{k: v for k, v in given.items() if k == "representation"}).method
        == "ae"
    )
    assert not caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": ["model.componets=3"]}, "settings of method 'gmm': components"),
        ({"settings": ["training.contrastive.stpes=3"]}, "did you mean 'training.contrastive.steps'"),
        ({"representation": "imagee"}, "choose one of: image, features, constituents"),
        ({"settings": ["sead=3"]}, "did you mean 'seed'"),
    ],
)
def test_a_mistake_is_told_of_the_method_that_was_meant(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve_config(**given)


def test_shared_sections_reach_every_member():
    config = resolve_config(
        settings=["training.epochs=3", "preprocessing.sigma=0.5", "members.image.training.epochs=4"]
    )
    assert config.members["features"].training.epochs == 3
    assert config.members["image"].training.epochs == 4
    assert config.members["image"].preprocessing.sigma == 0.5


def test_settings_override_the_file_and_the_file_the_defaults():
    text = "method: ae\ntraining:\n  epochs: 7\n  batch_size: 64\n"
    config = resolve_config(text=text, settings=["training.batch_size=32"], seed=5)
    assert (config.method, config.seed) == ("ae", 5)
    assert config.members["image"].training.epochs == 7
    assert config.members["image"].training.batch_size == 32
    assert config.members["image"].training.contrastive is None


def test_resolved_file_is_a_valid_file():
    config = resolve_config(representation="image", settings=["training.learning_rate=1e-3"])
    assert config.members["image"].training.learning_rate == 1e-3
    assert resolve_config(text=config.to_yaml()) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.epoch=3"], "did you mean 'training.epochs'"),
        (["sigma=3"], "did you mean 'preprocessing.sigma'"),
        (["training.epochs=0"], "greater than or equal to 1, found 0"),
        (["training.epochs=many"], "valid integer.*found 'many'"),
        (["training"], "expected KEY=VALUE"),
        (["training=3"], "must hold settings"),
        (["network.hidden=[3"], "not valid YAML"),
        (["members.image.preprocessing.representation=picture"], "picture"),
        (["preprocessing.observables=[nonsense]"], "unknown observable 'nonsense'"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve_config(settings=settings)


def test_shared_setting_beside_a_member_without_a_kind_is_explained():
    with pytest.raises(ConfigError, match=r"members\.foo\.preprocessing"):
        resolve_config(
            settings=["members.foo.network.components=8", "network.hidden=[3]", "preprocessing.sigma=1"]
        )


def test_unknown_method_lists_the_valid_ones():
    with pytest.raises(ConfigError, match="unknown method 'nea'; choose one of: nae"):
        resolve_config(method="nea")


@pytest.mark.parametrize("text", ["- a\n", "a: [", "members: {image: 3}", "method: 3"])
def test_broken_files_are_one_sentence(text):
    with pytest.raises(ConfigError):
        resolve_config(text=text, source="my.yaml")


FITTING = {
    "nae": {"omi", "pcd", "cd"},
    "igebm": {"pcd", "cd"},
    "mpdr-s": {"recovery", "pcd", "cd"},
    "mpdr-r": {"recovery", "omi", "pcd", "cd"},
}


@pytest.mark.parametrize("method", FITTING)
def test_a_sampler_is_taken_where_the_model_has_its_parts(method):
    for kind in ("omi", "pcd", "cd", "recovery"):
        settings = [f"training.contrastive.sampler.kind={kind}"]
        if kind in FITTING[method]:
            config = resolve_config(method=method, settings=settings)
            assert {member.training.sampler.kind for member in config.members.values()} == {kind}
        else:
            with pytest.raises(ConfigError, match=f"method '{method}' cannot use sampler '{kind}'") as error:
                resolve_config(method=method, settings=settings)
            assert set(str(error.value).rpartition("one of: ")[2].split(", ")) == FITTING[method]


def test_samplers_say_where_their_chains_start():
    def starts(method: str, *settings: str) -> bool:
        config = resolve_config(method=method, representation="image", settings=settings)
        return config.members["image"].training.sampler.starts_at_background

    kind = "training.contrastive.sampler.kind"
    assert [starts("nae", f"{kind}={name}") for name in ("omi", "pcd", "cd")] == [False, False, True]
    assert starts("mpdr-s", f"{kind}=recovery")
    assert starts("nae", f"{kind}=omi", "training.contrastive.sampler.start=background")


def test_a_method_that_is_no_name_is_refused():
    with pytest.raises(ConfigError, match="method"):
        read_config("{method: [nae], members: {}}")
