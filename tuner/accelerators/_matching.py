"""Which tokens are merged, as a function of tensors alone, so that it can be compiled.

The same arithmetic as tomesd's matching, bit for bit on a CPU. That draws random numbers itself,
which compiled code cannot do with a generator; here the numbers are an argument.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tuner.accelerators._averages import averages
from tuner.errors import UnfitError

Map = Callable[[Any], Any]


def check_equal(block: Sequence[int], attention: Sequence[int]) -> None:
    """Check that the inputs of a block and of its self-attention have equally many tokens.

    Args:
        block: the shape of the block's input; (rows, tokens, channels).
        attention: that of the self-attention's.

    Raises:
        UnfitError: they differ.
    """
    if tuple(block[:2]) != tuple(attention[:2]):
        raise UnfitError(
            "tome needs the tokens of a block's input in its self-attention too, but in this call "
            f"the block has {block[0]} rows of {block[1]} tokens and the self-attention "
            f"{attention[0]} rows of {attention[1]} tokens; leave out arguments that change "
            "self-attention, such as pag_scale"
        )


def matching(metric: Any, rows: int, columns: int, merged: int, choice: Any) -> tuple[Map, Map]:
    """Functions that merge and unmerge tokens.

    Of each 2x2 patch of the grid one token is chosen; `merged` of the others are merged into the
    most similar chosen token.

    Args:
        metric: the tokens by whose similarity they are matched; (batch, rows · columns, channels).
        rows: of the token grid.
        columns: of the token grid.
        merged: how many tokens to merge.
        choice: numbers from 0 to 3, which token of each patch is chosen; shape
            (rows // 2, columns // 2, 1).
    """
    batch, count, _ = metric.shape
    chosen, others = _split(rows, columns, choice)
    merged = min(merged, others.shape[0])

    unit = metric / metric.norm(dim=-1, keepdim=True)
    similarity = unit[:, others] @ unit[:, chosen].transpose(-1, -2)
    closeness, closest = similarity.max(dim=-1)
    by_closeness = closeness.argsort(dim=-1, descending=True)
    alone, leaving = by_closeness[:, merged:], by_closeness[:, :merged]
    target = closest.gather(1, leaving)  # of each token that is merged

    def merge(tokens: Any) -> Any:
        rest = tokens[:, others]
        targets = tokens[:, chosen].scatter_reduce(
            1, _wide(target, tokens), _rows(rest, leaving), reduce="mean"
        )
        return _joined(_rows(rest, alone), targets)

    def unmerge(tokens: Any) -> Any:
        kept = alone.shape[1]
        targets = tokens[:, kept:]
        output = tokens.new_zeros(batch, count, tokens.shape[-1])
        output = output.index_copy(1, chosen, targets)
        output = output.scatter(1, _wide(others[alone], tokens), tokens[:, :kept])
        return output.scatter(1, _wide(others[leaving], tokens), _rows(targets, target))

    if metric.is_cuda:
        return averages(unmerge, metric, rows, columns, merged), unmerge
    return merge, unmerge


def _split(rows: int, columns: int, choice: Any) -> tuple[Any, Any]:
    """The indices of the chosen tokens and of all others, both in the grid's order."""
    import torch

    high, wide = rows // 2, columns // 2
    marks = torch.zeros(high, wide, 4, device=choice.device, dtype=torch.int64)
    marks = marks.scatter(2, choice, 1).view(high, wide, 2, 2)
    grid = marks.transpose(1, 2).reshape(2 * high, 2 * wide)
    grid = torch.nn.functional.pad(grid, (0, columns - 2 * wide, 0, rows - 2 * high))
    order = (
        (-grid).reshape(1, -1, 1).argsort(dim=1).reshape(-1)
    )  # equal ones in the order of tomesd
    return order[: high * wide], order[high * wide :]


def _rows(tokens: Any, index: Any) -> Any:
    """Of each batch row the tokens with these indices."""
    return tokens.gather(1, _wide(index, tokens))


def _wide(index: Any, tokens: Any) -> Any:
    """An index of shape (batch, n) for all channels of the tokens."""
    return index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])


def _joined(*tokens: Any) -> Any:
    import torch

    return torch.cat(tokens, dim=1)
