"""The samplers that a study can use, one row each.

A row is plain data, so that `tuner.spec` can read which samplers are sweeps without importing the
search. What makes the sampler is named as 'module:function' and imported when a search begins.
"""

from dataclasses import dataclass

from tuner import registry


@dataclass(frozen=True, kw_only=True)
class SamplerRow:
    """A sampler: its name, the function that makes it, and its properties.

    `make` names a callable that takes the seed and the `tuner.search.problem.Problem`, and returns
    an `optuna.samplers.BaseSampler`.
    """

    name: str
    summary: str  # what it is, for the help of `--sampler`
    make: str
    stops_early: bool = False  # it learns from trials that were stopped early as PRUNED
    warm_starts: bool = False  # it uses the trials of a source study
    sweeps: bool = False  # it measures every combination of values, with every accelerator on


_MAKERS = "tuner.search.samplers"

SAMPLERS = {
    row.name: row
    for row in (
        SamplerRow(
            name="frontier",
            summary="this project's",
            make=f"{_MAKERS}:make_frontier",
            stops_early=True,
            warm_starts=True,
        ),
        SamplerRow(
            name="tpe",
            summary="Optuna's tree-structured Parzen estimator",
            make=f"{_MAKERS}:make_tpe",
        ),
        SamplerRow(
            name="gp",
            summary="Optuna's Gaussian process",
            make=f"{_MAKERS}:make_gp",
        ),
        SamplerRow(
            name="nsga2",
            summary="Optuna's genetic algorithm",
            make=f"{_MAKERS}:make_nsga2",
        ),
        SamplerRow(
            name="random",
            summary="independent uniform draws",
            make=f"{_MAKERS}:make_random",
        ),
        SamplerRow(
            name="grid",
            summary="measures every combination of values",
            make=f"{_MAKERS}:make_grid",
            sweeps=True,
        ),
        SamplerRow(
            name="walk",
            summary="goes through the nested loops of the earlier sweep script and skips settings "
            "with no knob more aggressive than the best feasible setting's",
            make=f"{_MAKERS}:make_walk",
            sweeps=True,
        ),
    )
}


def sampler_row(name: str) -> SamplerRow:
    """The row of this name; case and punctuation do not matter.

    Raises `UsageError`, which lists the samplers, for an unknown name.
    """
    row: SamplerRow = registry.pick("sampler", name, SAMPLERS)
    return row


def sweep_named(name: str) -> str | None:
    """The name of a sweep as it is listed; None for any other sampler and for unknown names."""
    plain = registry.plain(name)
    for row in SAMPLERS.values():
        if row.sweeps and registry.plain(row.name) == plain:
            return row.name
    return None
