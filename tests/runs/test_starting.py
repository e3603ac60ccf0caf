"""Unusual but valid requests: no guidance, and the greatest seed."""

from pathlib import Path

from tests.runs.study import Count, spec
from tuner.session import Session


def test_a_run_without_guidance_uses_the_accelerators_that_fit_and_verifies_with_any_seed(
    tmp_path: Path, session: Session
) -> None:
    observer = Count()
    request = spec(tmp_path, guidance_scale=0, seed=2**32 - 1, steps=2, num_samples=2, trials=1)
    outcome = session.run(request, observer)
    assert "left out: tgate needs guidance_scale above 1, not 0" in observer.lines
    study = outcome.study.user_attrs
    assert study["request"]["search_targets"] == ["deepcache", "tome"]
    assert study["evaluation"]["guidance"] == 0
    assert study["evaluation"]["seed"] == 2**32 - 1
    (result,) = outcome.results
    assert result.verified is not None
