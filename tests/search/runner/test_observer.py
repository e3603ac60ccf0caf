"""Every report reaches every observer."""

import inspect

import pytest

from tuner.search.runner.observer import REPORTS, Observer, Observers


@pytest.mark.parametrize("report", REPORTS)
def test_every_report_is_passed_on_to_all_observers_in_order(report: str) -> None:
    count = len(inspect.signature(getattr(Observer, report)).parameters) - 1
    arguments = [object() for _ in range(count)]
    calls: list[tuple[int, list[object]]] = []

    class Listening(Observer):
        def __init__(self, place: int) -> None:
            setattr(self, report, lambda *values: calls.append((place, list(values))))

    getattr(Observers([Listening(1), Listening(2)]), report)(*arguments)
    assert calls == [(1, arguments), (2, arguments)]
