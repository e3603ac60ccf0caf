"""Which settings must be generated once before they are timed."""

from dataclasses import dataclass, field
from typing import Any

from tuner.measure.step_kinds import StepKinds
from tuner.setting import Setting


@dataclass(frozen=True, kw_only=True)
class WarmUps:
    """Remembers which kinds of steps were generated in this process.

    A GPU loads and chooses its kernels when tensors of a shape first come, so that a setting with a
    kind of step that did not run yet is warmed up. On a CPU that takes some milliseconds.
    """

    kinds: StepKinds
    device: str
    seen: set[Any] = field(default_factory=set)

    def is_due(self, setting: Setting) -> bool:
        """Whether a setting must be warmed up; its kinds of steps count as seen from now on."""
        if self.device == "cpu":
            return False
        kinds = self._kinds(setting)
        due = not kinds <= self.seen
        self.seen.update(kinds)
        return due

    def _kinds(self, setting: Setting) -> set[Any]:
        """What the steps of a setting compute; the setting itself where its pictures decide."""
        kinds = self.kinds.of(setting)
        return {setting} if kinds is None else set(kinds)
