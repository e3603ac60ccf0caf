"""The table of `bench.speed.account`: its cells, and real studies on narrow networks."""

import time

import pytest
import torch

from bench.lib import utilisation
from bench.lib.utilisation import Utilisation
from bench.speed.account import NEEDS_GPU, TITLES, Row, main
from tests.conftest import timed_by_work
from tuner.measure.account import Account, Purpose
from tuner.study.costs import StudyCosts

COSTS = StudyCosts(
    trials={
        0: Account(
            seconds={Purpose.SCORED: 6.0, Purpose.TIMING: 2.0, Purpose.SCORING: 1.0},
            pictures={Purpose.SCORED: 12, Purpose.TIMING: 6},
        )
    },
    others=Account(
        seconds={
            Purpose.LOADING: 2.0,
            Purpose.BASELINE: 5.0,
            Purpose.TIMED_STEPS: 2.0,
            Purpose.REST: 4.0,
        },
        pictures={Purpose.BASELINE: 8, Purpose.TIMED_STEPS: 2},
    ),
    baseline_s=5.0,
    prompts=8,
)


def cells(line: str) -> dict[str, str]:
    return dict(zip(TITLES, line.strip("| ").split(" | "), strict=True))


def test_a_row_has_the_costs_by_purpose_in_seconds_and_pictures() -> None:
    row = Row(title="x", wall_s=22.0, costs=COSTS, complete=3, unsteady=1, utilisation=0.756)
    printed = cells(str(row))
    assert printed["in B"] == "4.4 (B is 5.0 s)"
    assert printed["pictures generated"] == "28"
    assert printed["of these scored (share after the baseline)"] == "20 (60%)"
    assert printed["timing only"] == "6"
    assert printed["baseline, s"] == "5.0"
    assert printed["warm-up, s"] == "0.0"
    assert printed["outside"] == "25%"
    assert printed["unsteady"] == "1 of 3"
    assert printed["GPU"] == "76%"


def test_the_mean_utilisation_is_that_of_the_samples_since_the_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = iter([0.0, 0.0])
    monkeypatch.setattr(utilisation, "EVERY_S", 0.001)
    monkeypatch.setattr(utilisation, "utilisation", lambda device: next(values, 0.5))
    with Utilisation("cuda:0") as gpu:
        while gpu.mean is None or gpu.mean == 0:
            time.sleep(0.001)
        gpu.restart()
        while gpu.mean is None:
            time.sleep(0.001)
    assert gpu.mean == 0.5


def test_a_cpu_has_no_utilisation() -> None:
    with Utilisation("cpu") as cpu:
        pass
    assert cpu.mean is None


def test_without_a_gpu_stable_diffusion_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main(["--pipe", "SD1.5,SDXL"])
    lines = capsys.readouterr().out.splitlines()
    assert {f"SD1.5 {NEEDS_GPU}", f"SDXL {NEEDS_GPU}"} <= set(lines)


@pytest.mark.slow
@pytest.mark.parametrize("pipe", ["SD1.5", "SDXL"])
def test_a_small_study_of_saved_random_weights_ends_with_a_verified_winner(
    pipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with timed_by_work():
        main(["--small", "--pipe", pipe, "--trials", "1"])
    printed = cells(capsys.readouterr().out.splitlines()[-1])
    assert printed["run"] == f"{pipe}, DDIM-4, batch 1"
    assert float(printed["loading, s"]) > 0
    assert printed["unsteady"] == "0 of 1"
    assert printed["GPU"] == "-"


def test_a_small_study_of_the_miniature_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    with timed_by_work():
        main(["--small", "--pipe", "miniature", "--trials", "1"])
    printed = cells(capsys.readouterr().out.splitlines()[-1])
    assert printed["run"] == "miniature, DDIM-4, batch 1"
    assert int(printed["pictures generated"]) > 4
