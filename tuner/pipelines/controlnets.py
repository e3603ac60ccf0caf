"""A ControlNet's residuals, and batches of single rows, for hooks that skip blocks or rows."""

from collections.abc import Callable
from typing import Any


class Controls:
    """Keeps a ControlNet's residuals from being added twice when a pass skips blocks.

    A transformer adds a residual after each block, whether diffusers' hook has skipped the block or
    not. In the place of the skipped blocks, the hook adds the change that they made at an earlier
    step, from the first block's output to the last one's. This change includes the residuals of
    that earlier step. So in a pass that skips blocks, its own residuals are replaced by zeros,
    except for the one after the last block, which the stored change does not include.
    """

    def __init__(self, denoiser: Any, skips: Callable[[], bool]) -> None:
        """Hook the first and the last block; `skips` returns whether this pass skips blocks."""
        self._skips = skips
        self._done = False  # the last block has run
        blocks = [
            *denoiser.transformer_blocks,
            *getattr(denoiser, "single_transformer_blocks", ()),
        ]
        blocks[0].register_forward_pre_hook(self._begin)
        blocks[-1].register_forward_hook(self._end)

    def wrapped(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a pass, with residuals that are zero when they must not be added."""
        return {
            name: _Residuals(value, self._are_zero)
            if "controlnet" in name and isinstance(value, list | tuple)
            else value
            for name, value in kwargs.items()
        }

    def _are_zero(self) -> bool:
        return self._skips() and not self._done

    def _begin(self, module: Any, args: Any) -> None:
        self._done = False

    def _end(self, module: Any, args: Any, output: Any) -> None:
        self._done = True


class _Residuals(list[Any]):
    """A list of tensors whose items are zeros while `are_zero()`."""

    def __init__(self, tensors: Any, are_zero: Callable[[], bool]) -> None:
        super().__init__(tensors)
        self._are_zero = are_zero

    def __getitem__(self, index: Any) -> Any:
        residual = super().__getitem__(index)
        return residual.new_zeros(()) if self._are_zero() else residual


class Rows:
    """Selects rows of the tensors of a batch, also within lists and dictionaries."""

    def __init__(self, selected: slice, rows: int) -> None:
        """`selected` of the `rows` of the batch."""
        self._selected, self._rows = selected, rows

    def __call__(self, value: Any) -> Any:
        """The selected rows of a value; a tensor with another number of rows is not changed."""
        import torch

        if isinstance(value, dict):
            # Flux's positions of tokens ("…_ids") are the same for all pictures.
            return {k: v if k.endswith("_ids") else self(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self(item) for item in value])
        if isinstance(value, torch.Tensor) and value.dim() and len(value) == self._rows:
            return value[self._selected]
        return value
