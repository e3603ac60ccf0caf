"""Files, mappings and settings applied to a pipeline, for a block or for good."""

import copy
from pathlib import Path
from typing import Any

import pytest
from diffusers import DDIMScheduler

import tuner
from tests.helpers.pipelines import pictures, same
from tests.params.files import contents, file, study
from tests.params.settings import DEEPCACHE, TGATE, expected, weights
from tuner.errors import UsageError
from tuner.setting import Setting


def test_a_file_its_contents_and_a_setting_give_the_same_pictures(
    pipe: Any, tmp_path: Path
) -> None:
    images = expected(pipe, DEEPCACHE)
    whole = file(tmp_path, one=study(8, DEEPCACHE, evaluation=weights(pipe)))
    for source in (Setting.of(DEEPCACHE), whole, contents(one=study(8, DEEPCACHE))):
        assert same(expected(pipe, source), images)
    assert not same(pictures(pipe), images)


def test_apply_accelerates_the_pipeline_itself_until_undone(pipe: Any) -> None:
    before = pictures(pipe)
    images = expected(pipe, TGATE)
    undo = tuner.apply(pipe, TGATE)
    assert same(pictures(pipe), images)
    undo()
    assert same(pictures(pipe), before)


def test_applying_twice_is_refused(pipe: Any) -> None:
    undo = tuner.apply(pipe, DEEPCACHE)
    with pytest.raises(UsageError, match="accelerated already"):
        tuner.apply(pipe, TGATE)
    undo()


def test_a_setting_that_does_not_fit_is_refused_and_leaves_the_pipeline_unchanged(
    pipe: Any,
) -> None:
    deep = {"deepcache": {"cache_interval": 3, "cache_branch_id": 11}}
    pipe.unet.down_blocks = pipe.unet.down_blocks[:2]
    with pytest.raises(UsageError, match="cache_branch_id = 11 does not exist"):
        tuner.apply(pipe, deep)
    tuner.apply(pipe, DEEPCACHE)()


def test_copies_of_an_accelerated_pipeline_are_not_accelerated(pipe: Any) -> None:
    before = pictures(pipe)
    undo = tuner.apply(pipe, DEEPCACHE)
    twin = copy.copy(pipe)
    twin.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert same(pictures(twin), before)
    undo()


def test_a_copy_of_an_accelerated_pipeline_can_be_accelerated(pipe: Any) -> None:
    before, wanted, wanted_of_copy = (
        pictures(pipe),
        expected(pipe, TGATE),
        expected(pipe, DEEPCACHE),
    )
    undo = tuner.apply(pipe, TGATE)
    twin = copy.copy(pipe)
    undo_copy = tuner.apply(twin, DEEPCACHE)
    assert same(pictures(twin), wanted_of_copy)
    assert same(pictures(pipe), wanted)
    with pytest.raises(UsageError, match="accelerated already"):
        tuner.apply(twin, TGATE)
    undo()
    assert same(pictures(twin), wanted_of_copy)
    undo_copy()
    assert same(pictures(twin), before)
