"""The table of samplers: what each row names exists, and its columns agree with the sampler."""

from pathlib import Path
from pkgutil import resolve_name

import pytest

from tests.helpers.simulated import Bench
from tuner.errors import UsageError
from tuner.sampler_table import SAMPLERS, SamplerRow, sampler_row, sweep_named
from tuner.search.samplers import aim_of
from tuner.search.sweep.sweep import Exhaustive
from tuner.spec import StudySpec


@pytest.mark.parametrize("row", SAMPLERS.values(), ids=lambda row: row.name)
def test_a_row_makes_a_sampler_that_is_exhaustive_if_and_only_if_it_sweeps(
    row: SamplerRow, tmp_path: Path
) -> None:
    assert callable(resolve_name(row.make))
    bench = Bench(tmp_path, sampler=row.name)
    assert isinstance(bench.study.sampler, Exhaustive) == row.sweeps
    assert (bench.spec.sweep == row.name) == row.sweeps


@pytest.mark.parametrize("row", SAMPLERS.values(), ids=lambda row: row.name)
def test_all_samplers_but_frontier_look_for_the_front(row: SamplerRow) -> None:
    expected = "max" if row.name == "frontier" else "front"
    assert aim_of(StudySpec(pipe="miniature", sampler=row.name)) == expected
    assert aim_of(StudySpec(pipe="miniature", sampler=row.name, aim="front")) == "front"


def test_case_and_punctuation_of_a_name_do_not_matter() -> None:
    assert sampler_row("NSGA-2").name == "nsga2"
    assert sweep_named("Grid") == "grid"
    assert sweep_named("frontier") is None
    assert sweep_named("unknown") is None


def test_an_unknown_name_lists_the_samplers() -> None:
    with pytest.raises(UsageError, match="unknown sampler 'bayes'; known: frontier, tpe, gp"):
        sampler_row("bayes")
