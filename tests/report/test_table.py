"""What is printed of a study's results."""

from tuner.measure.statistics import Estimate
from tuner.report.table import remarks
from tuner.search.record import Result
from tuner.setting import Setting


def result(ratio: float, note: str | None) -> Result:
    return Result(
        trial=0,
        setting=Setting.of({"tome": {"ratio": ratio, "max_downsample": 1}}),
        speedup=Estimate(value=0.9, low=0.8, high=1.0),
        score_loss=Estimate(value=0.0, low=0.0, high=0.0),
        latency_s=1.0,
        score=30.0,
        prompts=2,
        same_pictures=False,
        note=note,
    )


def test_settings_with_a_note_are_named_once_each_and_the_rest_counted() -> None:
    found = [result(0.1, None)] + [result(ratio, "slow") for ratio in (0.2, 0.2, 0.3, 0.4, 0.5)]
    assert remarks(found) == [
        "slow: tome 0.2/1 (0.90×), tome 0.3/1 (0.90×), tome 0.4/1 (0.90×) and 1 more"
    ]


def test_without_notes_there_is_nothing_to_remark() -> None:
    assert remarks([result(0.1, None)]) == []
