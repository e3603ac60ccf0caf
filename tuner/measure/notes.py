"""The note on a result: what is unusual about it, in one line."""

from typing import Any

from tuner.measure.paired_timing import PairedTimings
from tuner.setting import Setting


def note_of(
    setting: Setting, pipeline: Any, timings: PairedTimings, *, same_pictures: bool
) -> str | None:
    """Says that a setting changes nothing or is slower, and that the baseline was re-measured."""
    notes = []
    if same_pictures:
        notes.append("changes nothing: the pictures are the baseline's, byte for byte")
    elif timings.speedup.value < 1:
        reasons = [part.slow_because(pipeline) for part in setting.accelerators]
        known = [reason for reason in reasons if reason is not None]
        notes.append(": ".join(["slower than the baseline", *known]))
    if timings.baseline_note is not None:
        notes.append(timings.baseline_note)
    return "; ".join(notes) or None
