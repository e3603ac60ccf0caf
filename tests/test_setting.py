"""Settings: values for every accelerator's knobs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner import registry
from tuner.accelerators import Accelerator
from tuner.errors import UsageError
from tuner.setting import Setting
from tuner.spec import StudySpec

ALL: dict[str, type[Accelerator]] = registry.components("accelerators")
ACCELERATORS = {name: ALL[name] for name in StudySpec().search_targets}  # these can be combined


def settings() -> st.SearchStrategy[Setting]:
    """Any setting whose values a search may try; the baseline included."""
    parts = {
        name: st.fixed_dictionaries(
            {k.name: st.sampled_from(k.values) for k in accelerator.knobs()}
        )
        for name, accelerator in ACCELERATORS.items()
    }
    return st.fixed_dictionaries({}, optional=parts).map(Setting.of)


@given(settings())
def test_a_setting_is_its_params(setting: Setting) -> None:
    assert Setting.of(setting.params) == setting
    assert Setting.of(json.loads(json.dumps(setting.params))) == setting


@given(settings())
def test_the_order_of_names_does_not_matter(setting: Setting) -> None:
    backwards = {
        name: dict(reversed(values.items())) for name, values in reversed(setting.params.items())
    }
    assert Setting.of(backwards) == setting
    assert hash(Setting.of(backwards)) == hash(setting)
    assert str(Setting.of(backwards)) == str(setting)


@given(settings(), settings())
def test_different_settings_have_different_texts(setting: Setting, other: Setting) -> None:
    assert (str(setting) == str(other)) == (setting == other)


@pytest.mark.parametrize("name", ALL)
def test_the_known_good_settings_of_an_accelerator_are_its_params(name: str) -> None:
    assert ALL[name].known_good
    for values in ALL[name].known_good:
        assert Setting.of({name: values}).params == {name: values}


def test_combinations_are_named_in_one_order() -> None:
    params = {
        "tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2},
        "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    }
    setting = Setting.of(params)
    assert setting.combination == "deepcache+tgate"
    assert str(setting) == "deepcache 3/0 + tgate 10/5/1/2"
    assert Setting().combination == str(Setting()) == "baseline"
    assert Setting().params == {}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"deepcash": {}}, "known: deepcache"),
        ({"deepcache": {"cache_interval": 3}}, "has no value for cache_branch_id"),
        ({"deepcache": {"cache_interval": 3, "depth": 1}}, "unknown knob deepcache.depth"),
        ({"deepcache": {"cache_interval": 0, "cache_branch_id": 0}}, "outside 1 … 1000"),
        ({"deepcache": {"cache_interval": 2.5, "cache_branch_id": 0}}, "whole number"),
        ({"deepcache": {"cache_interval": True, "cache_branch_id": 0}}, "must be a number"),
        ({"deepcache": {"cache_interval": "3", "cache_branch_id": 0}}, "must be a number"),
        ({"tome": {"ratio": 1.5, "max_downsample": 1}}, "outside 0.0 … 1.0"),
        ({"tome": {"ratio": float("nan"), "max_downsample": 1}}, "outside"),
    ],
)
def test_wrong_params_are_refused_in_one_line(
    params: dict[str, dict[str, int]], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Setting.of(params)
    assert "\n" not in str(caught.value)
    assert words in str(caught.value)


def test_an_accelerator_cannot_be_given_twice() -> None:
    tome = Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}).accelerators
    with pytest.raises(UsageError, match="cannot be combined"):
        Setting(accelerators=tome * 2)
