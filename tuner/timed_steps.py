"""The steps from which a search predicts speeds: timed once for each machine, and stored."""

from statistics import median
from typing import Any

from tuner.errors import UsageError
from tuner.measure.baseline_store import Store
from tuner.measure.cache_keys import key_of
from tuner.measure.evaluation import Evaluation
from tuner.search.frontier.earlier_timings import TIMED_STEPS
from tuner.search.frontier.speed_model import TimedSteps
from tuner.setting import Setting


def timed_steps(
    settings: list[Setting], evaluation: Evaluation, storage: Store
) -> list[TimedSteps]:
    """The settings' steps and the baseline's, timed on this machine now or in an earlier run.

    Those that are timed now are timed together with one batch of the baseline; where one of them
    fails, each by itself.
    """
    parts = evaluation.latency_parts
    key = key_of(parts)
    timed = storage.get(TIMED_STEPS, key) or {}
    missing = [setting for setting in settings if str(setting) not in timed]
    alone = [[setting] for setting in missing] if len(missing) > 1 else []
    for together in [missing, *alone]:
        if any(str(setting) not in timed for setting in together):
            timed |= _timed(together, evaluation)
            storage.put(TIMED_STEPS, key, parts, timed)
    return [
        TimedSteps(
            setting=setting,
            steps=tuple(timed[str(setting)]["steps"]),
            rest=timed[str(setting)]["rest"],
        )
        for setting in (Setting(), *settings)
        if str(setting) in timed
    ]


def _timed(settings: list[Setting], evaluation: Evaluation) -> dict[str, Any]:
    """The times of the baseline and of settings, in units of the baseline's; none where one fails.

    A trial of the one that fails will report the error.
    """
    try:
        without, *accelerated = evaluation.timed_steps(settings)
    except UsageError:
        raise
    except Exception:
        return {}
    # The baseline's steps do the same work: what disturbed one of them does not count.
    unit = without.whole - without.denoising + len(without.steps) * median(without.steps)
    return {
        str(setting): {
            "params": setting.params,
            "steps": [step / unit for step in seconds.steps],
            "rest": (seconds.whole - seconds.denoising) / unit,
        }
        for setting, seconds in zip((Setting(), *settings), (without, *accelerated), strict=True)
    }
