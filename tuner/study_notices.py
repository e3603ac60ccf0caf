"""What is said of a study before its first trial."""

from collections.abc import Iterator

import optuna

from tuner.measure.evaluation import Evaluation
from tuner.search.sweep.estimate import SweepEstimate, recent_s
from tuner.search.sweep.grid import FEW
from tuner.search.sweep.sweep import Exhaustive
from tuner.spec import StudySpec
from tuner.study.baseline import BASELINE, attributes


def notices(
    spec: StudySpec,
    study: optuna.Study,
    evaluation: Evaluation,
    verification: Evaluation,
    *,
    without_pictures: bool,
) -> Iterator[str]:
    """What a sweep will need, and whether there are prompts for verifying.

    `without_pictures`: whether a sweep has too many points to keep the pictures that were asked
    for.
    """
    if isinstance(study.sampler, Exhaustive):
        pictures = f"; no pictures: they are saved for sweeps of up to {FEW:,} points only"
        estimate = _estimate(study, study.sampler, evaluation)
        yield f"{estimate}{pictures if without_pictures else ''}"
    if verification.prompts == evaluation.prompts:  # as lists: captions may repeat
        yield (
            f"{spec.prompts_name} has fewer than {2 * spec.num_samples} prompts, so the best "
            "setting is verified on the prompts of the search, with other noise"
        )


def _estimate(study: optuna.Study, sweep: Exhaustive, evaluation: Evaluation) -> SweepEstimate:
    """What the rest of a sweep will need."""
    return SweepEstimate(
        reach=sweep.reach(study),
        image_s=attributes(study)[BASELINE]["latency_s"],
        images=evaluation.least_images,
        prompts=len(evaluation.prompts),
        share=sweep.share(),
        trial_s=recent_s(study),
    )
