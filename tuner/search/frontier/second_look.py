"""Which setting that missed a limit is worth another trial, with more prompts."""

from collections.abc import Mapping

import numpy as np

from tuner.search.frontier.history import History
from tuner.search.frontier.improvement import HOPELESS
from tuner.search.frontier.table import CandidateTable
from tuner.setting import Setting


def most_prompts(num_samples: int | None, max_samples: int | None) -> int | None:
    """Prompts of a second look at most: twice those of a trial, whose baseline is often stored.

    `max_samples`: prompts that there are for a setting. None where either is unknown.
    """
    if num_samples is None or max_samples is None:
        return None
    return min(2 * num_samples, max_samples)


def to_look_at(history: History, most: int | None) -> dict[Setting, int]:
    """Settings that missed a limit with fewer than `most` prompts, and the trials of these."""
    missed = history.missed.items()
    return {setting: m.trial for setting, m in missed if most is None or m.prompts < most}


def unlucky(
    table: CandidateTable, history: History, reaching: np.ndarray, trials: Mapping[Setting, int]
) -> tuple[Setting, int] | None:
    """The setting that missed a limit once and is likelier to reach the target than any untried.

    Its prompts may have been unlucky, which the model tells from settings like it. `reaching` are
    the probabilities of all rows, and `trials` are `to_look_at`. Returned with the number of its
    trial; None if there is none.
    """
    missed = table.mask(trials)
    if not missed.any():
        return None
    row = int(np.argmax(np.where(missed, reaching, -1.0)))
    untried = reaching[table.untried(history.tried)]
    if reaching[row] <= max(HOPELESS, untried.max(initial=0.0)):
        return None
    setting = table.settings[row]
    return setting, trials[setting]
