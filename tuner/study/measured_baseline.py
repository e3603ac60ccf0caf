"""Measuring a study's baseline, or reading it from the database, when a run begins."""

from collections.abc import Callable, Mapping
from typing import Any

import optuna

from tuner.measure.baseline import OnPictures
from tuner.measure.cache_keys import changes, key_of
from tuner.measure.evaluation import Evaluation
from tuner.measure.gpu_use import waiting_notice
from tuner.storage.database import Storage
from tuner.study.baseline import PARTS, key_old_trials, set_baseline


def measure_baseline(
    study: optuna.Study,
    storage: Storage,
    evaluation: Evaluation,
    notice: Callable[[str], None],
    on_batch: Callable[[int, int], None] | None,
    on_pictures: OnPictures | None,
    parts: Mapping[str, Any],
) -> None:
    """Measure the baseline unless the database has it, and store its figures with the study.

    `parts` are what the keys of the search's prompts are made of; those that are measured may be
    others, the prompts for verifying.
    `notice` prints what has changed since the study's last baseline, that a GPU waits for the host,
    and how much of the database the baseline's pictures take where extra metrics need them.
    """
    before = evaluation.reference(storage).size
    measured: list[int] = []

    def count(done: int, batches: int) -> None:
        measured.append(done)
        if on_batch is not None:
            on_batch(done, batches)

    scores, latency = evaluation.baseline(storage, count, on_pictures)
    key_old_trials(study)
    different = changes(study.user_attrs.get(PARTS, parts), parts)
    if different:
        source = "re-measured" if measured else "taken from the database"
        notice(f"baseline {source}: {', '.join(different)}")
    waiting = waiting_notice(latency.busy) if measured else None
    if waiting is not None:
        notice(waiting)
    size = evaluation.reference(storage).size
    if size != before and not evaluation.verifies:
        notice(
            f"the baseline's {len(evaluation.prompts)} pictures take {size / 1e6:.1f} MB of the "
            "database; those of the prompts for verification will take as much"
        )
    figures = {
        "latency_s": latency.latency_s,
        "denoising_s": latency.denoising_s,
        "latency_key": key_of(evaluation.latency_parts),
        "score": sum(scores.scores) / len(scores.scores),
        "num_samples": len(scores.scores),
        "memory_gib": latency.memory.get("device"),
        "host_memory_gib": latency.memory.get("host"),
    }
    set_baseline(study, figures)
    study.set_user_attr(PARTS, dict(parts))
