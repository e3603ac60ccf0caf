"""ToMe for Stable Diffusion, through the package tomesd."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import check_denoiser, denoiser_of, patch_of
from tuner.pipelines.generation import Call, Generation
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class ToMe(Accelerator):
    """Merge similar tokens around self-attention (Bolya and Hoffman, 2023, arXiv 2303.17604).

    A higher ratio merges more tokens: faster attention, less detail. A higher `max_downsample`
    merges in a U-Net's lower-resolution layers too; a transformer's layers are all of one
    resolution, and it says nothing there. Fused attention leaves little to gain.
    """

    name: ClassVar[str] = "tome"
    paper: ClassVar[str] = "arXiv 2303.17604"
    occupies: ClassVar[frozenset[str]] = frozenset({"tokens"})
    order: ClassVar[int] = 1
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"ratio": 0.5, "max_downsample": 1},
        {"ratio": 0.3, "max_downsample": 1},
    )

    neutral: ClassVar[dict[str, Value]] = {"ratio": 0.0, "max_downsample": 1}

    ratio: float = knob(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        low=0.0,
        high=1.0,
        off=0.0,
        help="share of tokens to merge; more than 0.75 merges 0.75",
    )
    max_downsample: int = knob(
        (1, 2, 3, 4), low=1, high=8, help="merge in layers with at most this downsampling"
    )

    def plan(self, plan: Plan) -> None:
        """How many tokens each layer merges; a 2x2 patch keeps at least one of its four."""
        for index, layer in enumerate(plan.shape.layers):
            if layer.downsample <= self.max_downsample:
                height = ceil(plan.shape.height / layer.downsample)
                width = ceil(plan.shape.width / layer.downsample)
                most = height * width - (height // 2) * (width // 2)
                plan.merged[index] = min(int(height * width * self.ratio), most)

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """ToMe needs transformer blocks over an image's grid."""
        check_denoiser(cls.name, pipeline, ("UNet2DConditionModel", "PixArtTransformer2DModel"))
        denoiser = denoiser_of(pipeline)
        if any(vars(module).get("only_cross_attention") for module in denoiser.modules()):
            raise UnfitError(
                "tome merges the tokens of self-attention, and layers of this "
                f"{type(denoiser).__name__} have none (only_cross_attention)"
            )
        if any(getattr(module, "fused_projections", False) for module in denoiser.modules()):
            raise UnfitError(
                "tome needs separate projections; call unfuse_qkv_projections() on the "
                f"{type(denoiser).__name__} first"
            )

    def slow_because(self, pipeline: Any) -> str | None:
        """Fused attention never writes down the matrix that merging makes smaller."""
        kinds = {type(one).__name__ for one in denoiser_of(pipeline).attn_processors.values()}
        if any("2_0" in kind or "XFormers" in kind or "Flash" in kind for kind in kinds):
            return "fused attention leaves merging little to save (tomesd issues 19 and 57)"
        return None

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook the self-attentions' projections.

        tomesd's own patch unmerges around the whole attention module, so that T-GATE would keep
        merged tokens and later unmerge them with another map, and it drops its random choice
        for odd batches. Here tokens are merged before the query, key and value projections and
        unmerged after the output projection: the same arithmetic, and whatever keeps an
        attention's output keeps it unmerged.
        """
        from diffusers.models.attention import BasicTransformerBlock

        denoiser = denoiser_of(pipeline)
        merging = _Merging(self.ratio, self.max_downsample, generation)
        denoiser.register_forward_pre_hook(merging.see_denoiser)
        for block in denoiser.modules():
            if isinstance(block, BasicTransformerBlock):
                layer = _Layer(merging)
                attention = block.attn1
                block.register_forward_pre_hook(layer.see_block)
                block.register_forward_hook(layer.leave_block)
                for projection in (attention.to_q, attention.to_k, attention.to_v):
                    projection.register_forward_pre_hook(layer.merge)
                attention.to_out[-1].register_forward_hook(layer.unmerge)
        return merging.restart


class _Merging:
    """What all layers of one application share: the arguments, the image's size, the rng."""

    def __init__(self, ratio: float, max_downsample: int, generation: Generation) -> None:
        self.ratio = ratio
        self.max_downsample = max_downsample
        self.generation = generation
        self.size = (0, 0)

    def restart(self) -> None:
        """Draw the same choices again, whatever ran before."""
        self.generation.rng = None

    def see_denoiser(self, module: Any, args: tuple[Any, ...]) -> None:
        """Remember the height and width of the finest grid: the latent, or its patches."""
        patch = patch_of(module)
        self.size = (args[0].shape[2] // patch, args[0].shape[3] // patch)

    def matching(self, tokens: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]] | None:
        """Functions that merge and unmerge, or None where this layer's tokens stay."""
        import torch
        from tomesd.merge import bipartite_soft_matching_random2d

        height, width = self.size
        downsample = ceil(sqrt(height * width // tokens.shape[1]))
        merged = int(tokens.shape[1] * self.ratio)
        if downsample > self.max_downsample or merged == 0:
            return None
        rng = self.generation.rng
        if rng is None:
            rng = torch.Generator(tokens.device).manual_seed(self.generation.seed)
            self.generation.rng = rng
        merge, unmerge = bipartite_soft_matching_random2d(
            tokens,
            ceil(width / downsample),
            ceil(height / downsample),
            2,
            2,
            merged,
            generator=rng,
        )
        if tokens.is_cuda:
            grid = ceil(height / downsample), ceil(width / downsample)
            merge = averages(unmerge, tokens, *grid, merged)
        return merge, unmerge


def averages(
    unmerge: Callable[[Any], Any], tokens: Any, height: int, width: int, merged: int
) -> Callable[[Any], Any]:
    """What merges tokens as tomesd does, in the same order of additions each time.

    tomesd adds tokens up with `scatter_reduce`, whose order a GPU chooses anew at each call. Here
    it is a product with a matrix of shares. `unmerge` tells who is merged with whom; `tokens` has
    the shape (batch, height · width, channels), of which each 2x2 patch keeps one at least.
    """
    import torch

    batch, count, _ = tokens.shape
    kept = (height // 2) * (width // 2)  # those that others are merged into: the last ones
    alone = count - min(merged, count - kept) - kept
    places = torch.arange(alone + kept, device=tokens.device)
    place = unmerge(places.expand(batch, -1).unsqueeze(-1)).squeeze(-1)  # of each token
    # Of those that are merged any one stands there, and is not read.
    of_place = torch.zeros_like(places).repeat(batch, 1)
    of_place.scatter_(1, place, torch.arange(count, device=tokens.device).repeat(batch, 1))
    stay = of_place[:, :alone].unsqueeze(-1)
    row = (place - alone + 1).clamp(min=0)  # the first row takes those that stay
    shares = torch.zeros(batch, kept + 1, count, dtype=tokens.dtype, device=tokens.device)
    sizes = torch.zeros(batch, kept + 1, device=tokens.device)  # whole numbers: exact in any order
    sizes.scatter_add_(1, row, torch.ones_like(row, dtype=sizes.dtype))
    each = (1 / sizes).gather(1, row).to(tokens.dtype)
    shares = shares.scatter_(1, row.unsqueeze(1), each.unsqueeze(1))[:, 1:]

    def merge(x: Any) -> Any:
        unmerged = x.gather(1, stay.expand(-1, -1, x.shape[-1]))
        return torch.cat([unmerged, shares.to(x.dtype) @ x], dim=1)

    return merge


class _Layer:
    """One transformer block: its tokens are matched when its self-attention projects them."""

    def __init__(self, merging: _Merging) -> None:
        self.merging = merging
        self.metric: Any = None
        self.size: tuple[int, ...] = ()  # rows and tokens of the metric
        self.functions: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None
        self.merged: tuple[Any, Any] | None = None  # the projections' input and its merged form

    def see_block(self, module: Any, args: tuple[Any, ...]) -> None:
        """Keep the block's input, by which tokens are matched."""
        self.metric = args[0]

    def leave_block(self, module: Any, args: tuple[Any, ...], output: Any) -> None:
        """Let go of it where something else stood in for the self-attention."""
        self.metric = None

    def merge(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Merge the input of a projection, once for query, key and value."""
        (tokens,) = args
        if self.metric is not None:
            self.functions = self.merging.matching(self.metric)
            self.size = tuple(self.metric.shape[:2])
            self.metric = None
            self.merged = None
        if self.functions is None:
            return None
        if tokens.shape[:2] != self.size:
            raise UnfitError(
                "tome merges the tokens that a self-attention is given, and this call projects "
                f"others: {tuple(tokens.shape[:2])} rows and tokens, not {self.size}; make it "
                "without what attends in another way, such as pag_scale"
            )
        if self.merged is None or self.merged[0] is not tokens:
            self.merged = (tokens, self.functions[0](tokens))
        return (self.merged[1],)

    def unmerge(self, module: Any, args: tuple[Any, ...], output: Any) -> Any:
        """Give every token its own place again, and let go of the tensors."""
        functions, self.functions, self.merged = self.functions, None, None
        return output if functions is None else functions[1](output)


component = ToMe
