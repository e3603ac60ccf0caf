"""The order of a sweep's studies."""

from tests.helpers.specs import flags
from tuner.fleet.order import ordered


def test_models_stay_together_and_fewer_steps_come_first() -> None:
    specs = flags(
        *("--pipe", "SD2.1,SD1.5", "--sched", "DDIM,UniPC", "--steps", "50,20", "--trials", "5")
    )
    assert [spec.triple for spec in ordered([*specs, specs[0]])] == [
        f"{model}/{sched}/{steps}"
        for model in ("SD2.1", "SD1.5")
        for steps in (20, 50)
        for sched in ("DDIM", "UniPC")
    ]
