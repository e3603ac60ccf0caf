"""Two generations by turns in one thread: the same pictures, and each has its own seconds."""

from typing import Any

import pytest
import torch

from tests.accelerators.cases import accelerated, baseline, every_combination, setting
from tests.conftest import Clock
from tests.helpers.pipelines import FAMILIES, STEPS, UNETS, pictures, same, tiny
from tuner.applying.applied import applied
from tuner.measure.interleave import HandOver, interleaved, twin_of
from tuner.measure.stopwatch import Seconds, Stopwatch
from tuner.pipelines.denoiser import denoiser_of


def test_each_goes_on_until_it_hands_over() -> None:
    told: list[str] = []

    def job(name: str, parts: int) -> Any:
        def run(hand_over: HandOver) -> str:
            for part in range(parts):
                told.append(f"{name}{part}")
                hand_over()
            return name

        return run

    assert interleaved([job("a", 3), job("b", 1)]) == ["a", "b"]
    assert told == ["a0", "b0", "a1", "a2"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_both_and_each_clears_up(error: type[BaseException]) -> None:
    cleared = []

    def waits(hand_over: HandOver) -> None:
        try:
            hand_over()
            pytest.fail("the other one has failed")
        finally:
            cleared.append("waits")

    def fails(hand_over: HandOver) -> None:
        try:
            raise error
        finally:
            cleared.append("fails")

    with pytest.raises(error):
        interleaved([waits, fails])
    assert cleared == ["fails", "waits"]


@every_combination
def test_the_pictures_are_those_of_each_alone(names: tuple[str, ...], family: str) -> None:
    alone = [baseline(family), accelerated(family, names)]
    pipeline = tiny(family)

    def job(accelerators: Any, where: Any) -> Any:
        def run(hand_over: HandOver) -> Any:
            with (
                applied(where, accelerators) as generate,
                Stopwatch(denoiser_of(where), "cpu", hand_over).timed(),
            ):
                return pictures(generate)

        return run

    found = interleaved([job((), twin_of(pipeline)), job(setting(names).accelerators, pipeline)])
    assert all(map(same, alone, found))
    assert same(pictures(pipeline), alone[0])  # and nothing is left behind


@pytest.mark.parametrize("family", FAMILIES)
def test_a_twin_has_the_same_weights_and_a_denoiser_of_its_own(family: str) -> None:
    pipeline = tiny(family)
    twin = twin_of(pipeline)
    mine, its = denoiser_of(pipeline), denoiser_of(twin)
    assert its is not mine
    assert [one.data_ptr() for one in its.parameters()] == [
        one.data_ptr() for one in mine.parameters()
    ]
    assert not {id(one) for one in its.modules()} & {id(one) for one in mine.modules()}
    assert twin.scheduler is not pipeline.scheduler
    assert twin.vae is pipeline.vae
    assert same(pictures(twin), baseline(family))


@pytest.mark.parametrize("family", UNETS)
def test_the_watch_stands_still_while_another_has_its_turn(family: str, ticking: Clock) -> None:
    pipeline = tiny(family)

    def watched(hand_over: HandOver) -> Seconds:
        with Stopwatch(denoiser_of(pipeline), "cpu", hand_over).timed() as seconds:
            pictures(pipeline)
        return seconds()

    def sleeps(hand_over: HandOver) -> None:
        for _ in range(STEPS):
            ticking.now += 500  # seconds; a look at this clock takes one
            hand_over()

    took, _ = interleaved([watched, sleeps])
    assert len(took.steps) == STEPS
    assert took.denoising == pytest.approx(sum(took.steps))
    assert took.denoising < took.whole < 500 < ticking.now - 500 * (STEPS - 1)


def test_gradients_stay_off_whichever_ends_first() -> None:
    seen = []

    def job(parts: int) -> Any:
        def run(hand_over: HandOver) -> None:
            with torch.no_grad():
                for _ in range(parts):
                    hand_over()
                    seen.append(torch.is_grad_enabled())

        return run

    interleaved([job(1), job(3)])
    assert seen == [False] * 4
    assert torch.is_grad_enabled()
