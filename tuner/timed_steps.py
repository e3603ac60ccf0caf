"""The steps from which a search predicts speeds: timed once for each machine, and stored."""

from statistics import median

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
    """The settings' steps and the baseline's, timed on this machine now or in an earlier run."""
    parts = evaluation.latency_parts
    key = key_of(parts)
    timed = storage.get(TIMED_STEPS, key) or {}
    for setting in settings:
        if str(setting) not in timed:
            try:
                without, accelerated = evaluation.timed_steps(setting)
            except UsageError:
                raise
            except Exception:  # a trial of this setting will report the error
                continue
            # The baseline's steps do the same work: what disturbed one of them does not count.
            rest = without.whole - without.denoising
            unit = rest + len(without.steps) * median(without.steps)
            for measured, seconds in ((Setting(), without), (setting, accelerated)):
                timed[str(measured)] = {
                    "params": measured.params,
                    "steps": [step / unit for step in seconds.steps],
                    "rest": (seconds.whole - seconds.denoising) / unit,
                }
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
