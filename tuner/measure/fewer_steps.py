"""The plain pipeline with fewer steps, which is measured like a setting."""

from dataclasses import dataclass

from tuner.setting import Setting


@dataclass(frozen=True, kw_only=True)
class FewerSteps(Setting):
    """No accelerator, and a smaller number of steps than the baseline's.

    Fewer steps are faster in proportion, apart from what is computed once for a picture: they are
    what acceleration is compared with.
    """

    steps: int

    def __str__(self) -> str:
        """A short form for people: '8 steps'."""
        return f"{self.steps} steps"
