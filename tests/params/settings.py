"""Settings in files, and the pictures that they must give."""

from typing import Any

import tuner
from tests.helpers.pipelines import pictures
from tuner.loading import fingerprint

DEEPCACHE = {"deepcache": {"cache_interval": 3, "cache_branch_id": 0}}

TGATE = {"tgate": {"gate_step": 5, "sp_interval": 2, "fi_interval": 1, "warmup": 1}}

TOME = {"tome": {"ratio": 0.5, "max_downsample": 1}}


def expected(pipe: Any, params: Any, **arguments: Any) -> Any:
    with tuner.applied(pipe, params) as generate:
        return pictures(generate, **arguments)


def weights(pipe: Any, **others: Any) -> dict[str, Any]:
    return {"weights": fingerprint(pipe)} | others
