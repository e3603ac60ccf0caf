"""Which setting that missed a limit is worth another trial, with more prompts."""

import numpy as np

from tuner.search.frontier.history import History
from tuner.search.frontier.improvement import HOPELESS
from tuner.search.frontier.table import CandidateTable
from tuner.setting import Setting


def unlucky(
    table: CandidateTable, history: History, reaching: np.ndarray
) -> tuple[Setting, int] | None:
    """The setting that missed a limit once and is likelier to reach the target than any untried.

    Its prompts may have been unlucky, which the model tells from settings like it. `reaching` are
    the probabilities of all rows. Returned with the number of its trial; None if there is none.
    """
    missed = table.mask(history.missed)
    if not missed.any():
        return None
    row = int(np.argmax(np.where(missed, reaching, -1.0)))
    untried = reaching[table.untried(history.tried)]
    if reaching[row] <= max(HOPELESS, untried.max(initial=0.0)):
        return None
    setting = table.settings[row]
    return setting, history.missed[setting]
