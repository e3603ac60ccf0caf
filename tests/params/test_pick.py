"""Every setting of a file can be applied: by a rule, or by the number of its trial."""

import warnings
from pathlib import Path
from typing import Any

import pytest

import tuner
from tests.helpers.pipelines import pictures, same
from tests.params.files import contents, file, point, study
from tests.params.settings import DEEPCACHE, TGATE, TOME, expected, weights
from tuner.errors import UsageError
from tuner.params.read import read

SLOW = point(TOME) | {"trial": 3, "speedup": 1.2, "score_loss": 0.001}
MIDDLE = point(TGATE) | {"trial": 5, "speedup": 2.0, "score_loss": 0.004}
FAST = point(DEEPCACHE) | {"trial": 8, "speedup": 2.5, "score_loss": 0.015}
VERIFIED = {
    name: FAST[name]
    for name in ("latency_s", "speedup", "speedup_ci", "score", "score_loss", "score_loss_ci")
} | {"fidelity": {}, "num_samples": 8}


def searched(pipe: Any, steps: int = 8, **more: Any) -> dict[str, Any]:
    """A study of three settings, the fastest of them verified."""
    entry = study(steps, DEEPCACHE, evaluation=weights(pipe))
    best = FAST | {"verified": VERIFIED}
    return entry | {"best": best, "pareto": [SLOW, MIDDLE, best]} | more


@pytest.mark.parametrize(
    ("pick", "params"),
    [
        (None, DEEPCACHE),
        ("fastest", DEEPCACHE),
        ("knee", TGATE),
        ("loss<=0.3%", TOME),
        ("speedup>=1.5", TGATE),
        ("trial 3", TOME),
    ],
)
def test_a_rule_picks_the_setting_that_is_applied(
    pick: str | None, params: Any, pipe: Any, tmp_path: Path
) -> None:
    wanted = expected(pipe, params)
    path = file(tmp_path, a=searched(pipe))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        undo = tuner.apply(pipe, path, pick=pick)
        assert same(pictures(pipe), wanted)
        undo()
        with tuner.applied(pipe, read(path), pick=pick) as generate:
            assert same(pictures(generate), wanted)


def test_the_setting_that_was_picked_at_the_export_is_applied_unless_another_is_picked(
    pipe: Any, tmp_path: Path
) -> None:
    path = file(tmp_path, a=searched(pipe, picked={"rule": "knee", "point": MIDDLE}))
    for pick, params in ((None, TGATE), ("fastest", DEEPCACHE)):
        wanted = expected(pipe, params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            undo = tuner.apply(pipe, path, pick=pick)
            assert same(pictures(pipe), wanted)
            undo()


def test_a_picked_setting_that_was_never_verified_is_warned_of_once(pipe: Any) -> None:
    source = contents(a=searched(pipe))
    with tuner.applied(pipe, source, pick="knee") as generate:
        with pytest.warns(UserWarning, match=r"picked by 'knee' \(tgate .* was never verified"):
            pictures(generate)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pictures(generate)
    with tuner.applied(pipe, source, pick="fastest") as generate, warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures(generate)


def test_a_rule_that_picks_nothing_names_the_nearest_setting(pipe: Any) -> None:
    source = contents(a=searched(pipe), b=searched(pipe, steps=6))
    with (
        pytest.raises(UsageError, match=r"setting of a has speedup>=3; the nearest is trial 8 \("),
        tuner.applied(pipe, source, pick="speedup>=3"),
    ):
        pass


def test_studies_in_which_a_rule_picks_nothing_do_not_matter_to_calls_of_others(pipe: Any) -> None:
    only_slow = searched(pipe, steps=6) | {"best": SLOW, "pareto": [SLOW]}
    source = contents(a=searched(pipe), b=only_slow)
    wanted = expected(pipe, DEEPCACHE)
    with tuner.applied(pipe, source, pick="speedup>=2.2") as generate:
        assert same(pictures(generate), wanted)
        with pytest.raises(UsageError, match=r"no study with 6 steps.*; no feasible setting of b"):
            pictures(generate, num_inference_steps=6)


def test_a_rule_needs_a_file_with_figures(pipe: Any) -> None:
    with pytest.raises(UsageError, match="chooses a setting of a file, but this is a setting"):
        tuner.apply(pipe, DEEPCACHE, pick="knee")
    bare = {"studies": {"a": study(6, DEEPCACHE)}, "schema": 1}
    with pytest.raises(UsageError, match="'evaluation' is a required property"):
        tuner.apply(pipe, bare, pick="knee")
