"""The account of costs: every second and every picture has one purpose."""

import json

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
    with ledger.measurement(of_trial=False):
        ledger.add(Purpose.VERIFICATION, 3.0, 8)
    ledger.add(Purpose.TIMING, 0.5, 8)
    assert trial.pictures == {Purpose.SCORED: 4}
    assert ledger.own().pictures == {
        Purpose.BASELINE: 4,
        Purpose.VERIFICATION: 8,
        Purpose.TIMING: 8,
    }


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
