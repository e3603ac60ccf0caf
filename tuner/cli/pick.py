"""What `tuner export --pick` prints: the picked settings, and whether they are verified."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuner.formatting import percent, times
from tuner.picking import names_a_trial
from tuner.setting import Setting


def picked_lines(contents: Mapping[str, Any], path: Path) -> Iterator[str]:
    """A line for each study of which a setting was picked; `path` is the file that has it."""
    for name, study in contents["studies"].items():
        if "picked" in study:
            rule, point = study["picked"]["rule"], study["picked"]["point"]
            reason = "" if names_a_trial(rule) else f" ({rule})"
            yield (
                f"{name}: picked trial {point['trial']}{reason}: {Setting.of(point['params'])}, "
                f"{times(point['speedup'])}, loss {percent(point['score_loss'])}; "
                f"{_verified_text(point, path)}"
            )


def _verified_text(point: Mapping[str, Any], path: Path) -> str:
    """Whether the setting is feasible and was verified, and what to do where it was not."""
    feasible = "" if point["feasible"] else "over a limit; "
    if "failed_again" in point:
        return f"{feasible}its verification failed: {point['failed_again']}"
    verified = point["verified"]
    if verified is None:
        return f"{feasible}not verified; `tuner verify --best {path}` verifies it"
    return (
        f"{feasible}verified: {times(verified['speedup'])}, "
        f"loss {percent(verified['score_loss'])}, {verified['num_samples']} prompts"
    )
