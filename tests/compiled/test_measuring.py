"""Studies of a compiled denoiser: compile time is told apart, and it is another study."""

import copy
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch

import tuner
from tests.helpers.pipelines import new
from tests.params.files import contents, study
from tests.params.settings import DEEPCACHE, weights
from tuner.errors import UsageError
from tuner.measure.account import Account, Ledger, Purpose
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.evaluation import Evaluation
from tuner.params.verify import spec_of
from tuner.pipelines.compiling import compiled_as, compiled_text
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.identity import identity

SMALL: dict[str, Any] = {"pipe": "miniature", "steps": 2, "num_samples": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Two prompts at two steps; a convolution of the U-Net is compiled, which is soon done."""
    evaluation = Session().evaluation(StudySpec(**SMALL, resolution=32))
    pipeline = copy.copy(evaluation.pipeline)
    pipeline.unet = copy.deepcopy(pipeline.unet)
    pipeline.unet.conv_out.compile(backend="eager")
    return replace(evaluation, pipeline=pipeline, ledger=Ledger())


def test_a_batch_that_compiles_is_generated_again_and_told_apart(evaluation: Evaluation) -> None:
    ledger, (numbers,) = evaluation.ledger, evaluation.batches()
    with ledger.measurement(of_trial=True) as first:
        evaluation.generate_with(Setting(), numbers)
    with ledger.measurement(of_trial=True) as second:
        evaluation.generate_with(Setting(), numbers)
    assert first.graphs == 1
    assert first.seconds[Purpose.COMPILING] > 0
    assert first.pictures == {Purpose.COMPILING: 0, Purpose.WARM_UP: 2, Purpose.SCORED: 2}
    assert second.graphs == 0
    assert second.pictures == {Purpose.SCORED: 2}


def test_pairs_of_a_compiled_denoiser_are_not_interleaved(evaluation: Evaluation) -> None:
    timings = evaluation.pairs.none_yet(stored_s=1.0, batch_size=2)
    (numbers,) = evaluation.batches()
    before, output, _ = evaluation.pairs.pair(Setting(), numbers, timings)
    assert torch.equal(before, output)
    assert "_twin" not in vars(evaluation.pairs)


def test_how_it_is_compiled_is_part_of_the_study_and_of_both_keys() -> None:
    session = Session()
    plain, compiled = (
        session.evaluation(StudySpec(**SMALL, compile=mode)) for mode in (None, "reduce-overhead")
    )
    assert identity(compiled) == identity(plain) | {"compile": "reduce-overhead"}
    for name in ("score_parts", "latency_parts"):
        assert getattr(compiled, name) == getattr(plain, name) | {"compile": "reduce-overhead"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "default"),
        ({"mode": "max-autotune"}, "max-autotune"),
        ({"options": {"max_autotune": True}}, "own options"),
        ({"backend": "eager"}, "eager"),
    ],
)
def test_the_mode_is_read_from_a_compiled_denoiser(options: dict[str, Any], words: str) -> None:
    assert compiled_as(torch.compile(torch.nn.Linear(2, 2), **options)) == words
    layer = torch.nn.Linear(2, 2)
    assert compiled_as(layer) is None
    layer.compile(**options)
    assert compiled_as(layer) == words
    by_blocks = compiled_as(torch.nn.Sequential(layer))
    assert by_blocks == f"{words} by blocks"
    assert compiled_text(by_blocks) == f"{words}, block by block"


def test_a_failure_to_compile_is_one_line_that_says_what_would_work(evaluation: Evaluation) -> None:
    pipeline = copy.copy(evaluation.pipeline)
    pipeline.unet = copy.deepcopy(pipeline.unet)
    pipeline.unet.conv_out.compile()
    broken = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with (
        torch._inductor.config.patch(broken),
        pytest.raises(
            UsageError, match=r"UNet2DConditionModel \(InvalidCxxCompiler: .*; install a"
        ),
    ):
        replace(evaluation, pipeline=pipeline, ledger=Ledger()).baseline(InMemoryStore())


def test_an_unknown_mode_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'fast'; known: default, reduce-overhead, max-autotune"):
        StudySpec(compile="fast")


def test_graphs_are_counted_in_the_account() -> None:
    ledger = Ledger()
    ledger.add_compiling(2.5, 3)
    stored = ledger.own().stored()
    assert stored["graphs"] == 3
    assert Account.of(stored).seconds[Purpose.COMPILING] == 2.5
    assert Account.of(stored).graphs == 3


@pytest.mark.parametrize("measured", ["default", None])
def test_applying_warns_once_if_only_study_or_pipeline_is_compiled(measured: str | None) -> None:
    pipe = new("sd")
    conditions = weights(pipe) if measured is None else weights(pipe, compile=measured)
    file = contents(one=study(8, DEEPCACHE, evaluation=conditions))
    for compiled in (False, True):
        if compiled:
            pipe.unet = torch.compile(pipe.unet)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tuner.apply(pipe, file)()
        found = [str(w.message) for w in caught if "is compiled" in str(w.message)]
        assert len(found) == (compiled != (measured is not None))


def test_a_compiled_study_is_verified_compiled() -> None:
    entry = study(8, DEEPCACHE, evaluation={"compile": "max-autotune"})
    assert spec_of(entry, {}).compile == "max-autotune"
