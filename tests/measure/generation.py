"""Settings of the miniature, and the pictures that an evaluation generates with them."""

import torch

from tuner.applying.applied import applied
from tuner.measure.evaluation import Evaluation
from tuner.setting import Setting

PARAMS: dict[str, dict[str, float]] = {
    "deepcache": {"cache_interval": 2, "cache_branch_id": 0},
    "tome": {"ratio": 0.5, "max_downsample": 1},
    "tgate": {"gate_step": 2, "sp_interval": 2, "fi_interval": 2, "warmup": 1},
}

SETTINGS = [
    Setting(),
    *(Setting.of({name: values}) for name, values in PARAMS.items()),
    Setting.of(PARAMS),
]


def generated(evaluation: Evaluation, setting: Setting) -> torch.Tensor:
    """The pictures of every prompt, batch by batch."""
    with applied(evaluation.pipeline, setting.accelerators, seed=evaluation.seed) as call:
        return torch.cat([evaluation.generate(call, batch)[0] for batch in evaluation.batches()])
