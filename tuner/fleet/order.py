"""The order in which the studies of a sweep run.

Studies of one model are neighbours, so that it is loaded once. Among them those of fewer steps come
first: a study costs in proportion to its steps, and the first one, which has no source study to
start from, costs the most trials. Those with equal steps follow each other, because a source
study of the same steps is the best one (`tuner.search.frontier.transfer`).
"""

from collections.abc import Sequence
from typing import Any

from tuner.spec import StudySpec


def ordered(specs: Sequence[StudySpec]) -> list[StudySpec]:
    """The studies in their order, each once; models in that of the first study of each."""
    specs = [spec for place, spec in enumerate(specs) if spec not in specs[:place]]
    models = list(dict.fromkeys(map(model_of, specs)))
    return sorted(specs, key=lambda spec: (models.index(model_of(spec)), spec.steps or 0))


def model_of(spec: StudySpec) -> tuple[Any, ...]:
    """What is loaded for a study; equal for studies that share a loaded model."""
    source = spec.pipeline if isinstance(spec.pipeline, str | None) else id(spec.pipeline)
    return (spec.pipe, spec.model, source, spec.device, spec.dtype, spec.compile)
