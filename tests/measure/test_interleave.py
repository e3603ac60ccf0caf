"""Two generations interleaved in one thread: the same pictures, and each is timed separately."""

from typing import Any

import pytest
import torch

from tests.accelerators.cases import accelerated, baseline, every_alone_and_all_together, setting
from tests.conftest import Clock
from tests.helpers.pipelines import FAMILIES, STEPS, UNETS, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.measure.interleave import YieldControl, interleaved, twin_of
from tuner.measure.stopwatch import Seconds, Stopwatch
from tuner.pipelines.denoiser import denoiser_of


def test_each_job_runs_until_it_yields_control() -> None:
    order: list[str] = []

    def job(name: str, parts: int) -> Any:
        def run(yield_control: YieldControl) -> str:
            for part in range(parts):
                order.append(f"{name}{part}")
                yield_control()
            return name

        return run

    assert interleaved([job("a", 3), job("b", 1)]) == ["a", "b"]
    assert order == ["a0", "b0", "a1", "a2"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_both_jobs_and_each_cleans_up(error: type[BaseException]) -> None:
    cleaned = []

    def yields(yield_control: YieldControl) -> None:
        try:
            yield_control()
            pytest.fail("the other job has failed")
        finally:
            cleaned.append("yields")

    def fails(yield_control: YieldControl) -> None:
        try:
            raise error
        finally:
            cleaned.append("fails")

    with pytest.raises(error):
        interleaved([yields, fails])
    assert cleaned == ["fails", "yields"]


@every_alone_and_all_together
def test_interleaved_pictures_equal_those_generated_alone(
    names: tuple[str, ...], family: str
) -> None:
    alone = [baseline(family), accelerated(family, names)]
    pipeline = tiny(family)

    def job(accelerators: Any, pipeline: Any) -> Any:
        def run(yield_control: YieldControl) -> Any:
            with (
                applied(pipeline, accelerators) as generate,
                Stopwatch(denoiser_of(pipeline), "cpu", yield_control).timed(),
            ):
                return pictures(generate)

        return run

    twins = [twin_of(pipeline), twin_of(pipeline)]
    on = [job(setting(names).accelerators, each) for each in (pipeline, twins[1])]
    first, second, third = interleaved([job((), twins[0]), *on])
    assert same(first, alone[0]) and same(second, alone[1]) and same(third, alone[1])
    assert same(pictures(pipeline), alone[0])  # and nothing is left behind


@pytest.mark.parametrize("family", FAMILIES)
def test_a_twin_shares_the_weights_and_has_its_own_denoiser_modules(family: str) -> None:
    pipeline = tiny(family)
    twin = twin_of(pipeline)
    original, copied = denoiser_of(pipeline), denoiser_of(twin)
    assert copied is not original
    assert [weight.data_ptr() for weight in copied.parameters()] == [
        weight.data_ptr() for weight in original.parameters()
    ]
    assert not {id(part) for part in copied.modules()} & {id(part) for part in original.modules()}
    assert twin.scheduler is not pipeline.scheduler
    assert twin.vae is pipeline.vae
    assert same(pictures(twin), baseline(family))


@pytest.mark.parametrize("family", UNETS)
def test_the_timer_is_paused_while_another_job_runs(family: str, ticking: Clock) -> None:
    pipeline = tiny(family)

    def timed_job(yield_control: YieldControl) -> Seconds:
        with Stopwatch(denoiser_of(pipeline), "cpu", yield_control).timed() as seconds:
            pictures(pipeline)
        return seconds()

    def sleeps(yield_control: YieldControl) -> None:
        for _ in range(STEPS):
            ticking.now += 500  # seconds; reading this clock takes one
            yield_control()

    took, _ = interleaved([timed_job, sleeps])
    assert len(took.steps) == STEPS
    assert took.denoising == pytest.approx(sum(took.steps))
    assert took.denoising < took.whole < 500 < ticking.now - 500 * (STEPS - 1)


def test_gradients_stay_off_whichever_job_ends_first() -> None:
    seen = []

    def job(parts: int) -> Any:
        def run(yield_control: YieldControl) -> None:
            with torch.no_grad():
                for _ in range(parts):
                    yield_control()
                    seen.append(torch.is_grad_enabled())

        return run

    interleaved([job(1), job(3)])
    assert seen == [False] * 4
    assert torch.is_grad_enabled()
