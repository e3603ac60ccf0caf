"""Winners are measured again until one holds, whatever goes wrong in between."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.landscape import Bench, measurement
from tuner.cli.answer import answer
from tuner.errors import BadPictureError, UsageError
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.runner.verify import TRIES, verify
from tuner.setting import Setting
from tuner.study.results import Result, read_results

SURE = Estimate(value=0.9, low=0.8, high=0.95)


class Looks:
    """A finished search of DeepCache alone, whose winners are looked at again."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder, search_targets=("deepcache",), trials=40, req_score_loss=0.5)
        self.bench.search()
        self.goal = Goal.of(self.bench.spec)
        self.seen: list[Setting] = []

    @property
    def results(self) -> list[Result]:
        return read_results(self.bench.study)

    def fastest(self) -> list[Setting]:
        """The settings that the search found to be good, fastest first."""
        found = [result for result in self.results if self.goal.met_by(result)]
        ordered = sorted(found, key=lambda one: -one.speedup.value)
        return list(dict.fromkeys(result.setting for result in ordered))

    def verify(self, look: Callable[[Measurement], Measurement]) -> Result | None:
        def again(result: Result) -> Iterator[Measurement]:
            self.seen.append(result.setting)
            yield look(measurement(result.setting))

        return verify(self.bench.study, self.goal, again, lambda result: None)


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(tmp_path)


def test_winners_are_looked_at_until_one_holds(looks: Looks) -> None:
    fastest = looks.fastest()
    assert len(fastest) > 8
    found = looks.verify(lambda one: one if len(looks.seen) == 8 else replace(one, score_loss=SURE))
    assert looks.seen == fastest[:8]
    assert found is not None and found.verified is not None
    assert found.setting == fastest[7]
    assert looks.goal.reached(looks.results) == found


def test_where_none_holds_there_is_no_answer(looks: Looks) -> None:
    fastest = looks.fastest()
    assert looks.verify(lambda one: replace(one, score_loss=SURE)) is None
    assert looks.seen == fastest
    assert looks.goal.reached(looks.results) is None
    assert answer(looks.bench.study, looks.goal)[0].startswith("no setting reached")


def test_what_was_looked_at_is_not_looked_at_again(looks: Looks) -> None:
    found = looks.verify(lambda one: one)
    assert looks.verify(lambda one: one) == found
    assert len(looks.seen) == 1


@pytest.mark.parametrize(
    ("error", "tries"), [(BadPictureError("picture 1 is black"), 1), (RuntimeError("lost"), TRIES)]
)
def test_a_second_look_that_fails_does_not_hold_and_ends_nothing(
    error: Exception, tries: int, looks: Looks
) -> None:
    first, second, *_ = looks.fastest()

    def fails(measured: Measurement) -> Measurement:
        if looks.seen[-1] == first:
            raise error
        return measured

    found = looks.verify(fails)
    assert looks.seen == [first] * tries + [second]
    assert found is not None and found.setting == second
    (failed,) = {result.failed_again for result in looks.results if result.setting == first}
    assert failed == str(error)
    closest = looks.goal.misses(next(result for result in looks.results if result.setting == first))
    assert [miss.text for miss in closest] == [str(error)]


def test_what_the_user_must_mend_is_told(looks: Looks) -> None:
    def fails(measured: Measurement) -> Measurement:
        raise UsageError("no weights")

    with pytest.raises(UsageError, match="no weights"):
        looks.verify(fails)
