"""A kind of step is warmed up once in a process, whichever study and setting run it first."""

from dataclasses import replace

import pytest

from tuner.measure.evaluation import Evaluation
from tuner.measure.warm_ups import WarmUps
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec

TWO = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}})
THREE = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})
DEEPER = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 1}})
SPEC = StudySpec(pipe="miniature", steps=6, num_samples=4, batch_size=2, resolution=16)


@pytest.fixture
def session() -> Session:
    return Session()


def on_a_gpu(evaluation: Evaluation) -> WarmUps:
    return replace(evaluation.warm_ups, device="cuda")


def test_settings_of_the_same_kinds_of_steps_need_one_warm_up(session: Session) -> None:
    warm_ups = on_a_gpu(session.evaluation(SPEC))
    assert [warm_ups.is_due(setting) for setting in (TWO, THREE, TWO, DEEPER)] == [
        True,
        False,
        False,
        True,
    ]


def test_what_the_baseline_has_run_needs_no_warm_up(session: Session) -> None:
    warm_ups = on_a_gpu(session.evaluation(SPEC))
    warm_ups.add(Setting())
    assert not warm_ups.is_due(Setting())
    assert warm_ups.is_due(TWO)


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({"sched": "UniPC"}, False),
        ({"steps": 8}, False),
        ({"batch_size": 4}, True),
        ({"resolution": 32}, True),
        ({"guidance_scale": 1.0}, True),
    ],
)
def test_in_the_next_study_what_changes_a_step_must_be_warmed_up_again(
    changes: dict[str, object], due: bool, session: Session
) -> None:
    assert on_a_gpu(session.evaluation(SPEC)).is_due(TWO)
    assert not on_a_gpu(session.verification(SPEC, 6)).is_due(TWO)
    assert on_a_gpu(session.evaluation(replace(SPEC, **changes))).is_due(TWO) == due


def test_on_a_cpu_no_kind_of_step_needs_a_warm_up(session: Session) -> None:
    assert not session.evaluation(SPEC).warm_ups.is_due(TWO)
