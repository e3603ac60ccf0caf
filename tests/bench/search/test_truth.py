"""Truth tables have the scores that trials would have, even if they are made in parts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.lib import tables
from bench.lib.miniature import MODEL, evaluation_of, pipeline
from bench.lib.tables import Product, read
from bench.search import truth
from bench.search.truth import OtherPrecisionError, Precision, fill, join, open_table
from tuner.measure.baseline_store import InMemoryStore
from tuner.plans.plan import shape_of

# As on a GPU, without bfloat16.
PRECISE = Precision(device="cpu", batch=2, autocast=False)
SMALL = Product(
    name="small",
    scheduler="DDIM",
    steps=4,
    values={
        "deepcache": {"cache_interval": (2, 3), "cache_branch_id": (0,)},
        "tome": {"ratio": (0.5,), "max_downsample": (1,)},
    },
)


def test_parts_of_a_table_are_joined_to_the_scores_of_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    shape = shape_of(pipeline("DDIM"), MODEL.resolution)
    for number in (1, 2):
        part = replace(SMALL, part=(number, 2))
        assert len(part.settings(shape)) == 1
        fill(part, open_table(part, shape, PRECISE, 2), 2, PRECISE)
    join(SMALL, shape, PRECISE, 2)
    assert "small-DDIM-4: 2 settings, 2 prompts\n" in capsys.readouterr().out
    table = read(SMALL.file)
    assert table.about["dtype"] == "float32"
    evaluation = evaluation_of("truth", 2, steps=4, batch_size=2, timing_pairs=1, most_pairs=1)
    store = InMemoryStore()
    for setting, scores in zip(table.settings, table.scores, strict=True):
        *_, last = evaluation.measure(setting, store)
        np.testing.assert_allclose(scores, last.scores, atol=0.01)
    np.testing.assert_allclose(table.baseline, evaluation.baseline(store)[0].scores, atol=0.01)


def test_a_table_is_not_continued_in_another_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    shape = shape_of(pipeline("DDIM"), MODEL.resolution)
    truth.write(open_table(SMALL, shape, Precision.of("cpu")), SMALL.file)
    with pytest.raises(OtherPrecisionError, match="left unchanged"):
        open_table(SMALL, shape, Precision.of("cuda"))
