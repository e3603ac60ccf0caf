"""Merging tokens on a GPU with the same sums in every call."""

from collections.abc import Callable
from typing import Any


def averages(
    unmerge: Callable[[Any], Any], tokens: Any, height: int, width: int, merged: int
) -> Callable[[Any], Any]:
    """A function that merges tokens as tomesd does, but is deterministic on a GPU.

    tomesd adds tokens up with `scatter_reduce`, whose order of additions on a GPU varies from call
    to call. Here the averages are a product with a matrix of weights.

    Args:
        unmerge: tomesd's function, which determines which tokens are merged with which.
        tokens: of shape (batch, height · width, channels).
        height: of the token grid.
        width: of the token grid.
        merged: how many tokens are to be merged; at least one of each 2x2 patch remains.

    Returns:
        A function from tokens of the same number to fewer: first those that are not merged, then
        the averages.
    """
    import torch

    batch, count, _ = tokens.shape
    targets = (height // 2) * (width // 2)  # tokens that others are merged into; the last places
    alone = count - min(merged, count - targets) - targets
    places = torch.arange(alone + targets, device=tokens.device)
    place = unmerge(places.expand(batch, -1).unsqueeze(-1)).squeeze(-1)  # of each token
    # The token at each place; arbitrary where several are merged, because it is not read there.
    of_place = torch.zeros_like(places).repeat(batch, 1)
    of_place.scatter_(1, place, torch.arange(count, device=tokens.device).repeat(batch, 1))
    unmerged = of_place[:, :alone].unsqueeze(-1)
    row = (place - alone + 1).clamp(min=0)  # row 0 collects the tokens that are not merged
    weights = torch.zeros(batch, targets + 1, count, dtype=tokens.dtype, device=tokens.device)
    sizes = torch.zeros(batch, targets + 1, device=tokens.device)  # whole numbers: sums are exact
    sizes.scatter_add_(1, row, torch.ones_like(row, dtype=sizes.dtype))
    weight = (1 / sizes).gather(1, row).to(tokens.dtype)
    weights = weights.scatter_(1, row.unsqueeze(1), weight.unsqueeze(1))[:, 1:]

    def merge(x: Any) -> Any:
        rest = x.gather(1, unmerged.expand(-1, -1, x.shape[-1]))
        return torch.cat([rest, weights.to(x.dtype) @ x], dim=1)

    return merge
