"""A few timed steps predict the speedup of every setting."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.helpers.pipelines import LATENT_SIDE, tiny
from tuner.plans.features import step_rows
from tuner.plans.plan import Shape, plan_of, shape_of
from tuner.search.frontier.context import Timing
from tuner.search.frontier.speed_model import (
    SpeedModel,
    TimedSteps,
    settings_to_time,
    spread,
    typical,
)
from tuner.setting import Params, Setting

STEPS = 20


@pytest.fixture(scope="module")
def shape() -> Shape:
    """The shape of SD1.5 in small."""
    pipeline = tiny("sd")
    return shape_of(pipeline, LATENT_SIDE * pipeline.vae_scale_factor)


class Machine:
    """What each kind of work takes on some machine; a step's latency, with noise."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.random = np.random.default_rng(3)
        kinds = self.work(Setting()).shape[1]
        self.cost = self.random.uniform(0.2, 1.0, kinds)
        self.cost[0] = 0.5
        self.cost[1 : 2 + shape.branches] = np.linspace(2, 20, 1 + shape.branches)
        self.rest = 15.0

    def work(self, setting: Setting) -> np.ndarray:
        return step_rows(plan_of(setting.accelerators, self.shape, STEPS))

    def latency(self, setting: Setting) -> float:
        return float((self.work(setting) @ self.cost).sum()) + self.rest

    def timed(self, setting: Setting) -> TimedSteps:
        whole = self.latency(Setting())
        steps = self.work(setting) @ self.cost / whole
        noise = np.exp(self.random.normal(0, 0.03, len(steps)))
        return TimedSteps(setting=setting, steps=tuple(steps * noise), rest=self.rest / whole)


def settings() -> list[Setting]:
    """A product over all three."""
    caches = product((2, 3, 5), (0, 1, 2))
    merges: list[Params] = [{}, {"tome": {"ratio": 0.5, "max_downsample": 1}}]
    gates = product((5, 8, 12, 16), (2, 5), (1, 3), (1, 3))
    return [
        Setting.of(
            {
                "deepcache": {"cache_interval": n, "cache_branch_id": b},
                **merge,
                "tgate": {"gate_step": g, "sp_interval": s, "fi_interval": f, "warmup": w},
            }
        )
        for (n, b), merge, (g, s, f, w) in product(caches, merges, gates)
    ]


def test_a_few_timed_generations_predict_hundreds_of_speedups(shape: Shape) -> None:
    machine, offered = Machine(shape), settings()
    model = SpeedModel(machine.work)
    chosen = settings_to_time(offered, machine.work, 5)
    assert len(chosen) == 3  # one for each branch
    timed = [machine.timed(setting) for setting in (Setting(), *chosen)]
    model.fit(timed, trials=[])
    true = np.array([machine.latency(Setting()) / machine.latency(setting) for setting in offered])
    predicted = model.speedups(offered)
    assert np.median(np.abs(predicted / true - 1)) < 0.05
    assert spearmanr(predicted, true).statistic > 0.98


def test_trials_correct_what_timed_steps_got_wrong(shape: Shape) -> None:
    machine, offered = Machine(shape), settings()
    true = np.array([machine.latency(Setting()) / machine.latency(setting) for setting in offered])
    model = SpeedModel(machine.work)
    model.fit([machine.timed(Setting())], trials=[])
    before = np.median(np.abs(model.speedups(offered) / true - 1))
    trials = [(offered[row], timing(true[row])) for row in range(0, len(offered), 12)]
    model.fit([machine.timed(Setting())], trials)
    after = np.median(np.abs(model.speedups(offered) / true - 1))
    assert after < 0.02 < before


def timing(speedup: float, predicted: float | None = None, pairs: int = 3) -> Timing:
    """What pairs that scatter by one per cent say of a speedup."""
    return Timing(speedup=float(speedup), pairs=pairs, predicted=predicted)


def test_a_prediction_is_as_uncertain_as_those_before_it_were_wrong() -> None:
    assert spread([]) == 0.02
    good = spread([timing(2.0 * np.exp(0.005 * sign), 2.0) for sign in (1, -1) * 10])
    bad = spread([timing(2.0 * np.exp(0.05 * sign), 2.0) for sign in (1, -1) * 10])
    assert good < 0.015 < 0.04 < bad < 0.05
    assert spread([timing(2.0)] * 20) == 0.02  # nothing was predicted


def test_a_prediction_is_uncertain_by_the_work_that_was_never_timed(shape: Shape) -> None:
    machine, (setting, *_), model = Machine(shape), settings(), SpeedModel(Machine(shape).work)
    timed = [machine.timed(Setting())]
    model.fit(timed, [])
    assert model.unknown_share(Setting()) == pytest.approx(0, abs=1e-9)
    assert 0.1 < model.unknown_share(setting) < 1
    guess = model.prediction(setting, [])
    assert guess.spread > 0.05
    assert guess.claimed is None
    model.fit([*timed, machine.timed(setting)], [])
    assert model.prediction(setting, []).spread == pytest.approx(0.02)
    model.fit(timed, [(setting, timing(2.0))])  # a whole trial is as good as its steps
    assert model.prediction(setting, []).spread == pytest.approx(0.02)


def test_once_predictions_were_right_every_third_trial_has_a_pair(shape: Shape) -> None:
    machine, setting = Machine(shape), settings()[0]
    model = SpeedModel(machine.work)
    model.fit([machine.timed(Setting()), machine.timed(setting)], [])
    right = [(setting, timing(2.0, 2.001))] * 5
    wrong = [(setting, timing(2.0, 2.2))] * 5
    none = [(setting, None)]
    assert model.prediction(setting, []).pair
    assert model.prediction(setting, right[:4]).pair
    assert not model.prediction(setting, right).pair
    assert not model.prediction(setting, [*right, *none]).pair
    assert model.prediction(setting, [*right, *none, *none]).pair
    assert model.prediction(setting, wrong).pair


def test_a_trial_with_one_pair_weighs_less_than_one_with_three(shape: Shape) -> None:
    machine, setting = Machine(shape), settings()[0]
    predicted = []
    for pairs in (1, 3):
        model = SpeedModel(machine.work)
        model.fit(
            [machine.timed(Setting()), machine.timed(setting)], [(setting, timing(9, None, pairs))]
        )
        predicted.append(float(model.speedups([setting])[0]))
    true = machine.latency(Setting()) / machine.latency(setting)
    assert true < predicted[0] < predicted[1] < 9


def test_a_model_without_data_predicts_no_speedup(shape: Shape) -> None:
    assert SpeedModel(Machine(shape).work).speedups(settings()[:3]).tolist() == [1, 1, 1]


def test_no_setting_is_timed_that_adds_no_information(shape: Shape) -> None:
    machine = Machine(shape)
    alone = [
        Setting.of({"deepcache": {"cache_interval": n, "cache_branch_id": b}})
        for n, b in product((2, 3, 4, 5), (0, 1))
    ]
    chosen = settings_to_time(alone, machine.work, 6)
    assert len(chosen) == 2  # one shallow pass for each branch; the full one is the baseline's


def test_what_many_trials_of_a_source_study_tell_is_not_timed_again(shape: Shape) -> None:
    machine, offered = Machine(shape), settings()
    everything = settings_to_time(offered, machine.work, 100)
    assert len(settings_to_time(offered, machine.work, 100, offered)) < len(everything)
    assert settings_to_time(offered, machine.work, 100, offered * 50) == []


def test_the_steps_of_a_setting_that_is_only_known_as_a_whole_are_timed(shape: Shape) -> None:
    machine = Machine(shape)
    cached = [
        Setting.of({"deepcache": {"cache_interval": n, "cache_branch_id": b}})
        for n, b in product((2, 3, 4, 5), (0, 1))
    ]
    branches = {
        setting.accelerators[0].cache_branch_id  # type: ignore[attr-defined]
        for setting in settings_to_time(cached, machine.work, 6, cached[:2])
    }
    assert branches == {0, 1}


def test_a_step_that_was_disturbed_does_not_count() -> None:
    work = np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 2.0], [1.0, 0.0], [1.0, 2.0]])
    assert typical([1.0, 0.4, 9.0, 0.5, 1.1], work) == pytest.approx([1.1, 0.45, 1.1, 0.45, 1.1])
