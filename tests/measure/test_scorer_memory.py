"""The scorer's memory is told apart from the pipeline's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runs.study import spec
from tuner.measure import device as machine
from tuner.measure.evaluation import Evaluation
from tuner.measure.scorer_memory import memory_notice, scorer_bytes
from tuner.search.runner.observer import Observer
from tuner.session import Session

GIB = 2**30


class Network:
    """A metric of a thousand float32 weights and ten buffered int64 values."""

    def __init__(self) -> None:
        self.identity = "network"
        self.network = torch.nn.Linear(100, 10, bias=False)
        self.network.register_buffer("steps", torch.zeros(10, dtype=torch.int64))


def test_the_weights_and_buffers_of_all_metrics_on_the_device_count_once(
    compared: Evaluation,
) -> None:
    metric, (reward, *others) = Network(), compared.extra_metrics
    assert scorer_bytes(metric, (), "cpu") == 4 * 1000 + 8 * 10
    again = replace(reward, metric=metric)  # the same network gives a reward too
    assert scorer_bytes(metric, (again, *others), "cpu") == 4 * 1000 + 8 * 10
    assert scorer_bytes(metric, (replace(reward, metric=Network()),), "cpu") == 2 * 4080
    assert scorer_bytes(metric, (), "cuda:0") == 0
    assert scorer_bytes(others[0].metric, others, "cpu") == 0  # no weights


def test_a_line_says_what_the_scorer_takes_of_a_gpu() -> None:
    assert memory_notice(int(2.55 * GIB), "cuda:0") == (
        "scorer: 2.5 GiB of the device's memory; scorer_device = cpu frees it"
    )
    assert memory_notice(0, "cuda:0") is None
    assert memory_notice(GIB // 100, "cuda:0") is None
    assert memory_notice(5 * GIB, "cpu") is None


def test_a_run_reports_the_scorers_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notices: list[str] = []
    observer = Observer()
    monkeypatch.setattr(observer, "notice", notices.append)
    monkeypatch.setattr("tuner.session.memory_notice", lambda scorer, device: f"{scorer} {device}")

    class ReachedError(Exception):
        """Ends the run where the search space would be made."""

    def reached(*_: Any) -> None:
        raise ReachedError

    monkeypatch.setattr("tuner.session.Space.of", reached)
    session, study = Session(), spec(tmp_path, device="cpu")
    with pytest.raises(ReachedError):
        session.run(study, observer)
    evaluation = session.evaluation(study)
    assert f"{scorer_bytes(evaluation.metric, (), 'cpu')} cpu" in notices


def test_the_peak_of_the_device_is_without_what_others_allocated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7 * GIB)
    for others, peak in ((0, 7.0), (3 * GIB, 4.0)):
        with machine.PeakMeter("cuda:0", others) as meter:
            pass
        assert meter.peak.device == peak
