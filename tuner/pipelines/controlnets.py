"""What a ControlNet adds between a transformer's blocks, beside hooks that skip blocks."""

from collections.abc import Callable
from typing import Any


class Controls:
    """Keeps a ControlNet's residuals from counting twice where a pass skips its blocks.

    A transformer adds one after each block, whether diffusers' hook has skipped the block or not.
    In the place of the skipped blocks the hook adds the change that they made at an earlier step,
    from the first block's output to the last one's. The residuals of that earlier step are part of
    this change. So in a pass that skips, its own residuals are left out, except the one that is
    added after the last block, which the kept change does not include.
    """

    def __init__(self, denoiser: Any, skips: Callable[[], bool]) -> None:
        self._skips = skips
        self._done = False  # the last block has run
        blocks = [
            *denoiser.transformer_blocks,
            *getattr(denoiser, "single_transformer_blocks", ()),
        ]
        blocks[0].register_forward_pre_hook(self._begin)
        blocks[-1].register_forward_hook(self._end)

    def of(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A pass's arguments, with residuals that know when to be left out."""
        return {
            name: _Residuals(value, self._left_out)
            if "controlnet" in name and isinstance(value, list | tuple)
            else value
            for name, value in kwargs.items()
        }

    def _left_out(self) -> bool:
        return self._skips() and not self._done

    def _begin(self, module: Any, args: Any) -> None:
        self._done = False

    def _end(self, module: Any, args: Any, output: Any) -> None:
        self._done = True


class _Residuals(list[Any]):
    """A list of tensors that gives zeros while they are to be left out."""

    def __init__(self, tensors: Any, left_out: Callable[[], bool]) -> None:
        super().__init__(tensors)
        self._left_out = left_out

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found.new_zeros(()) if self._left_out() else found


class Rows:
    """Takes some rows of whatever has as many rows as the batch, in lists and dictionaries too."""

    def __init__(self, taken: slice, rows: int) -> None:
        self._taken, self._rows = taken, rows

    def __call__(self, value: Any) -> Any:
        """The rows of a value; what has another number of rows is given back as it is."""
        import torch

        if isinstance(value, dict):
            # Flux's places of tokens are the same for all pictures.
            return {k: one if k.endswith("_ids") else self(one) for k, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self(one) for one in value])
        if isinstance(value, torch.Tensor) and value.dim() and len(value) == self._rows:
            return value[self._taken]
        return value
