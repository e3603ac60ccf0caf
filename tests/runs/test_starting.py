"""What a run makes of odd requests that are right: no guidance, the greatest seed."""

from pathlib import Path

from tests.runs.study import Count, spec
from tuner.session import Session


def test_a_run_without_guidance_takes_what_fits_and_the_greatest_seed_is_verified(
    tmp_path: Path, session: Session
) -> None:
    watch = Count()
    asked = spec(tmp_path, guidance_scale=0, seed=2**32 - 1, steps=2, num_samples=2, trials=1)
    outcome = session.run(asked, watch)
    assert "left out: tgate needs guidance_scale above 1, not 0" in watch.lines
    study = outcome.study.user_attrs
    assert study["request"]["search_targets"] == ["deepcache", "tome"]
    assert study["evaluation"]["guidance"] == 0
    assert study["evaluation"]["seed"] == 2**32 - 1
    (found,) = outcome.results
    assert found.verified is not None
