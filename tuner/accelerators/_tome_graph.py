"""ToMe in compiled passes: the random choice of tokens is drawn before each pass."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tuner.accelerators._matching import check_equal, matching
from tuner.pipelines.denoiser import patch_of
from tuner.pipelines.generation import Generation
from tuner.pipelines.graph_part import GraphPart, Slot


@dataclass(frozen=True)
class _Kind:
    ratio: float
    max_downsample: int
    height: int  # of the latent: how many tokens are merged is fixed in the graph
    width: int


@dataclass(frozen=True)
class _Grid:
    """The grid of tokens of a layer, and how many of them are merged."""

    rows: int
    columns: int
    merged: int


class _Choice(Slot):
    """The random choice of one layer, of shape (rows // 2, columns // 2, 1)."""

    def __init__(self, grid: _Grid) -> None:
        super().__init__()
        self.shape = (grid.rows // 2, grid.columns // 2, 1)


class ToMePart(GraphPart):
    """Merges tokens in each pass."""

    def __init__(self, ratio: float, max_downsample: int, generation: Generation) -> None:
        self._ratio, self._max_downsample = ratio, max_downsample
        self._generation = generation
        self._device: Any = None

    def reset(self) -> None:
        """Draw the same random numbers in each call."""
        self._generation.rng = None

    def kind(self, sample: Any) -> _Kind:
        """The knobs and the size of the latent."""
        self._device = sample.device
        return _Kind(self._ratio, self._max_downsample, sample.shape[2], sample.shape[3])

    def patch(self, denoiser: Any, kind: _Kind, idle: set[Any]) -> Sequence[Slot]:
        """Hook the self-attentions that run and merge, in the order in which they do."""
        slots = []
        for block, downsample in _blocks(denoiser):
            grid = _grid(denoiser, kind, downsample)
            if grid is not None and not {block, block.attn1} & idle:
                slots.append(_Choice(grid))
                _hook(block, _Layer(grid, slots[-1]))
        return slots

    def give(self, kind: _Kind, slots: Sequence[Slot]) -> None:
        """Draw the choices, in the order in which uncompiled layers draw theirs."""
        import torch

        if self._generation.rng is None:
            rng = torch.Generator(self._device).manual_seed(self._generation.seed)
            self._generation.rng = rng
        for slot in slots:
            assert isinstance(slot, _Choice)
            slot.given = torch.randint(
                4, size=slot.shape, device=self._device, generator=self._generation.rng
            )


class _Layer:
    """The hooks of one transformer block."""

    def __init__(self, grid: _Grid, choice: Slot) -> None:
        self.grid, self.choice = grid, choice
        self.metric: Any = None  # the block's input, by whose similarity tokens are matched
        self.functions: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None

    def see_block(self, module: Any, args: tuple[Any, ...]) -> None:
        self.metric = args[0]

    def merge(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Merge a projection's input; compiled code merges once for query, key and value."""
        (tokens,) = args
        if self.functions is None:
            metric, self.metric = self.metric, None
            check_equal(metric.shape, tokens.shape)
            grid = self.grid
            self.functions = matching(
                metric, grid.rows, grid.columns, grid.merged, self.choice.given
            )
        return (self.functions[0](tokens),)

    def unmerge(self, module: Any, args: tuple[Any, ...], output: Any) -> Any:
        functions, self.functions = self.functions, None
        return output if functions is None else functions[1](output)


def _hook(block: Any, layer: _Layer) -> None:
    attention = block.attn1
    block.register_forward_pre_hook(layer.see_block)
    for projection in (attention.to_q, attention.to_k, attention.to_v):
        projection.register_forward_pre_hook(layer.merge)
    attention.to_out[-1].register_forward_hook(layer.unmerge)


def _grid(denoiser: Any, kind: _Kind, downsample: int) -> _Grid | None:
    """The grid of a layer with this downsampling; None if it merges no tokens."""
    patch = patch_of(denoiser)
    rows = ceil(kind.height // patch / downsample)
    columns = ceil(kind.width // patch / downsample)
    merged = int(rows * columns * kind.ratio)
    if downsample > kind.max_downsample or not merged or min(rows, columns) < 2:
        return None
    return _Grid(rows, columns, merged)


def _blocks(denoiser: Any) -> Iterator[tuple[Any, int]]:
    """The transformer blocks in the order in which they run, each with its downsampling."""
    if not hasattr(denoiser, "down_blocks"):
        yield from ((block, 1) for block in denoiser.transformer_blocks)
        return
    down, up = denoiser.down_blocks, denoiser.up_blocks
    levels = [
        *((block, 2**number) for number, block in enumerate(down)),
        (denoiser.mid_block, 2 ** (len(down) - 1)),
        *((block, 2 ** (len(up) - number - 1)) for number, block in enumerate(up)),
    ]
    for level, downsample in levels:
        for attention in getattr(level, "attentions", None) or ():
            yield from ((block, downsample) for block in attention.transformer_blocks)
