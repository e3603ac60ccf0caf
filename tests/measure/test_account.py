"""The account of costs: every second and every picture has one purpose."""

import json
import time
from typing import Any

import pytest

from tuner.measure.account import Account, Ledger, Purpose


def test_an_account_survives_json() -> None:
    account = Account()
    account.add(Purpose.SCORED, 1.5, 4)
    account.add(Purpose.SCORED, 0.5, 4)
    account.add(Purpose.SCORING, 0.25)
    stored = json.loads(json.dumps(account.stored()))
    assert Account.of(stored).seconds == {Purpose.SCORED: 2.0, Purpose.SCORING: 0.25}
    assert stored["pictures"] == {"scored pictures": 8}


def test_a_purpose_of_a_later_version_is_the_rest() -> None:
    account = Account.of({"seconds": {"dreaming": 2.0}, "pictures": {"dreaming": 3}})
    assert account.seconds == {Purpose.REST: 2.0}
    assert account.pictures == {Purpose.REST: 3}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"seconds": {"scoring": float("inf")}}, "seconds of 'scoring' must be a number .*'inf'"),
        ({"seconds": {"scoring": float("nan")}}, "seconds of 'scoring' must be .*, not 'nan'"),
        ({"seconds": {"scoring": -1.0}}, "a number from 0 to .*, not '-1.0'"),
        ({"seconds": {"scoring": 1e300}}, r"from 0 to 1,000,000,000,000, not '1e\+300'"),
        ({"seconds": {"scoring": True}}, "not 'True'"),
        ({"seconds": {"scoring": "2"}}, "not '2'"),
        ({"seconds": 5}, "seconds must be a table of purposes, not '5'"),
        ({"pictures": {"baseline": 3.5}}, "pictures of 'baseline' must be a whole number"),
        ({"pictures": {"baseline": -1}}, "pictures of 'baseline' must be a whole number"),
        ({"graphs": "x"}, "graphs must be a whole number .*, not 'x'"),
        (None, "seconds must be a table of purposes, not 'None'"),
    ],
)
def test_a_stored_account_with_what_no_account_has_is_refused(stored: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Account.of(stored)


def test_a_sum_has_the_pictures_of_a_purpose_without_seconds() -> None:
    total = Account(seconds={Purpose.SCORED: 1.0}, pictures={Purpose.SCORED: 4})
    total.include(Account(pictures={Purpose.SCORED: 2, Purpose.TIMING: 3}))
    assert total.pictures == {Purpose.SCORED: 6, Purpose.TIMING: 3}
    assert total.total_s == 1.0


def test_time_without_a_purpose_is_the_rest() -> None:
    account = Account()
    account.add(Purpose.BASELINE, 3.0, 8)
    whole = account.with_rest(4.0)
    assert whole.seconds == {Purpose.BASELINE: 3.0, Purpose.REST: 1.0}
    assert whole.with_rest(10.0).total_s == 10.0
    assert account.seconds == {Purpose.BASELINE: 3.0}


def test_what_a_trial_costs_is_in_its_account_and_not_in_the_process() -> None:
    ledger = Ledger()
    ledger.add(Purpose.BASELINE, 1.0, 4)
    with ledger.measurement(of_trial=True) as trial:
        ledger.add(Purpose.SCORED, 2.0, 4)
    ledger.settle(stored=True)
    with ledger.measurement(of_trial=False):
        ledger.add(Purpose.VERIFICATION, 3.0, 8)
    ledger.add(Purpose.TIMING, 0.5, 8)
    assert trial.pictures == {Purpose.SCORED: 4}
    assert ledger.own().pictures == {
        Purpose.BASELINE: 4,
        Purpose.VERIFICATION: 8,
        Purpose.TIMING: 8,
    }


def test_what_a_trial_cost_until_it_failed_is_known_and_belongs_to_one_trial() -> None:
    ledger = Ledger()
    with pytest.raises(RuntimeError), ledger.measurement(of_trial=True):
        ledger.add(Purpose.SCORED, 2.0, 4)
        raise RuntimeError("out of memory")
    assert ledger.ended_trial is not None
    assert ledger.ended_trial.pictures == {Purpose.SCORED: 4}
    ledger.settle(stored=True)
    assert ledger.ended_trial is None  # the next trial may fail before it has an account
    assert not ledger.own().pictures


@pytest.mark.parametrize("settled", [True, False])
def test_what_is_not_stored_with_a_trial_belongs_to_the_process(settled: bool) -> None:
    ledger = Ledger()
    for _ in range(2):
        with ledger.measurement(of_trial=True):
            ledger.add(Purpose.SCORED, 2.0, 4)
        if settled:
            ledger.settle(stored=False)
    assert ledger.own().pictures == {Purpose.SCORED: 8}


@pytest.mark.parametrize("purpose", [None, Purpose.FEWER_STEPS])
def test_what_is_being_measured_is_in_the_process_s_own_account(purpose: Purpose | None) -> None:
    ledger = Ledger()
    with ledger.measurement(of_trial=False, purpose=purpose):
        ledger.add(Purpose.VERIFICATION, 0.0, 8)
        assert ledger.own().pictures == {purpose or Purpose.VERIFICATION: 8}
    assert ledger.own().pictures == {purpose or Purpose.VERIFICATION: 8}


def test_a_trial_is_in_the_process_s_account_until_it_is_stored() -> None:
    ledger = Ledger()
    with ledger.measurement(of_trial=True):
        ledger.add(Purpose.SCORED, 0.5, 4)
        time.sleep(0.6)
        running = ledger.own()
    ended = ledger.own()
    trial = ledger.ended_trial
    assert trial is not None
    ledger.settle(stored=True)
    for own in (running, ended):
        assert own.pictures == {Purpose.SCORED: 4}
        assert own.seconds[Purpose.SCORED] == 0.5
        assert own.total_s >= 0.6
    assert trial.seconds[Purpose.SCORED] == 0.5
    assert 0.6 <= trial.total_s <= ended.total_s
    assert ledger.own().total_s + trial.total_s == pytest.approx(ledger.wall_s, abs=0.1)


def test_a_block_does_not_count_what_is_entered_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 10.0, 15.0, 20.0])
    monkeypatch.setattr("tuner.measure.account.time.monotonic", lambda: next(now))
    ledger = Ledger()  # reads the clock: 0
    with ledger.spent(Purpose.SCORING):  # from 10 to 15
        ledger.add(Purpose.SCORED, 2.0, 4)
    assert ledger.own().seconds == {  # at 20
        Purpose.SCORED: 2.0,
        Purpose.SCORING: 3.0,
        Purpose.REST: 15.0,
    }
