"""The number of trials that a study is to have, asked for by several processes at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from optuna.trial import TrialState

from tests.helpers.simulated import Bench
from tuner.search.runner.progress import counted_trials, is_done
from tuner.storage.log import log_of
from tuner.storage.retries import CUT_OFF, RESOLVES, next_try

WORKERS, TRIALS = 4, 12


def test_no_trial_is_begun_while_those_that_run_are_enough(tmp_path: Path) -> None:
    first, second = Bench(tmp_path), Bench(tmp_path)
    assert log_of(first.study).ask(1) is not None
    assert log_of(second.study).ask(1) is None
    assert log_of(second.study).ask(2) is not None
    assert len(first.study.trials) == 2


def test_a_queued_trial_is_no_part_of_the_number_until_it_begins(tmp_path: Path) -> None:
    bench, other = Bench(tmp_path), Bench(tmp_path)
    bench.study.enqueue_trial({})
    assert log_of(bench.study).ask(1) is not None
    bench.study.enqueue_trial({})
    assert log_of(other.study).ask(1) is None
    assert [trial.state for trial in bench.study.trials] == [TrialState.RUNNING, TrialState.WAITING]


def test_a_trial_that_was_cut_off_leaves_room_for_its_next_try(tmp_path: Path) -> None:
    bench, other = Bench(tmp_path), Bench(tmp_path)
    trial = log_of(bench.study).ask(1)
    assert trial is not None
    bench.problem.space.suggest(trial)
    retry = next_try(log_of(bench.study).stored(trial))
    assert retry is not None
    trial.set_user_attr(CUT_OFF, True)
    bench.study.tell(trial, state=TrialState.FAIL)
    other.study.add_trial(retry)
    again = log_of(other.study).ask(1)
    assert again is not None
    assert again.number == 1
    assert log_of(bench.study).ask(1) is None


def test_trials_that_resolve_a_setting_come_on_top(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    log_of(bench.study).begin({}, {RESOLVES: 0})
    assert log_of(bench.study).ask(1) is not None


def test_workers_that_ask_at_the_same_time_begin_exactly_as_many_as_are_left(
    tmp_path: Path,
) -> None:
    benches = [Bench(tmp_path) for _ in range(WORKERS)]

    def begin_all(bench: Bench) -> list[int]:
        numbers = []
        while (trial := log_of(bench.study).ask(TRIALS)) is not None:
            numbers.append(trial.number)
            bench.study.tell(trial, state=TrialState.FAIL)
        return numbers

    with ThreadPoolExecutor(WORKERS) as pool:
        begun = [number for numbers in pool.map(begin_all, benches) for number in numbers]
    assert sorted(begun) == list(range(TRIALS))


def test_the_trials_that_count_are_those_of_the_budget(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    resolving = log_of(bench.study).begin({}, {RESOLVES: 0})
    resolving.set_user_attr(CUT_OFF, True)
    bench.study.tell(resolving, state=TrialState.FAIL)
    assert counted_trials(bench.study) == 0
    ended = log_of(bench.study).ask(1)
    assert ended is not None
    bench.study.tell(ended, state=TrialState.FAIL)
    assert log_of(bench.study).ask(1) is None
    assert is_done(bench.study, 1)  # else a run would wait for ever


def test_a_trial_that_is_cut_off_while_trials_are_read_does_not_end_a_study(tmp_path: Path) -> None:
    here, there = Bench(tmp_path), Bench(tmp_path)
    trial = there.study.ask()
    with log_of(here.study).one_reading():
        assert len(here.study.trials) == 1
        trial.set_user_attr(CUT_OFF, True)
        there.study.tell(trial, state=TrialState.FAIL)
        assert not is_done(here.study, 1)
