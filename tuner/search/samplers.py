"""Optuna's samplers by the names that people type."""

from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler

from tuner import registry

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=12),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


def sampler(name: str, seed: int) -> BaseSampler:
    """A sampler of this name; a `UsageError` lists the known ones."""
    make: Callable[[int], BaseSampler] = registry.pick("sampler", name, dict(SAMPLERS))
    return make(seed)
