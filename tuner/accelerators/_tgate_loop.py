"""What the denoising loop of the package tgate demands of attentions."""

from typing import Any

_NOTHING = {"cache": False, "reuse": False}


class LoopModes:
    """What the loop has set: whose outputs are stored, and whose are reused.

    Attributes:
        of_self: of self-attentions, whether to `cache` and to `reuse`.
        of_cross: of cross-attentions, the same.
        averages: whether what is stored is the average of the batch's halves, without and with the
            prompt.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to what is so before the loop begins: everything is computed, nothing stored."""
        self.of_self = self.of_cross = _NOTHING
        self.averages = False

    def set(
        self,
        model: Any,
        filter_name: str,
        keep_shape: bool,
        sa_kward: dict[str, bool],
        ca_kward: dict[str, bool],
    ) -> None:
        """Set what is stored and reused from now on; replaces the package's `register_forward`."""
        self.of_self, self.of_cross, self.averages = sa_kward, ca_kward, not keep_shape


def average_of_halves(output: Any) -> Any:
    """The average of a batch's halves, without and with the prompt; half as many rows."""
    unprompted, prompted = output.chunk(2)
    return (unprompted + prompted) / 2
