"""ToMe for Stable Diffusion, through the package tomesd."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.accelerators._averages import averages
from tuner.accelerators._matching import check_equal
from tuner.accelerators._tome_graph import ToMePart
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import check_denoiser, denoiser_of, patch_of
from tuner.pipelines.generation import Call, Generation
from tuner.plain_code import PlainCode, Use
from tuner.plans.plan import Plan
from tuner.size import Size


@dataclass(frozen=True, kw_only=True)
class ToMe(Accelerator):
    """Merge similar tokens around self-attention (Bolya and Hoffman, 2023, arXiv 2303.17604).

    A higher ratio merges more tokens: attention is faster and the picture has less detail. A higher
    `max_downsample` also merges in a U-Net's layers of lower resolution; a transformer's layers all
    have the same resolution, and it has no effect. With fused attention there is little to gain.
    """

    name: ClassVar[str] = "tome"
    paper: ClassVar[str] = "arXiv 2303.17604"
    packages: ClassVar[tuple[str, ...]] = ("tomesd",)
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
        help="share of the tokens to merge; a value above 0.75 merges as many as 0.75",
    )
    max_downsample: int = knob(
        (1, 2, 3, 4),
        low=1,
        high=8,
        help="tokens are merged in layers that are downsampled by at most this factor",
    )

    def plan(self, plan: Plan) -> None:
        """How many tokens each layer merges: at least one of each 2x2 patch remains.

        A grid without such a patch, of one row or column, merges none.
        """
        for index, layer in enumerate(plan.shape.layers):
            if layer.downsample <= self.max_downsample:
                height = ceil(plan.shape.height / layer.downsample)
                width = ceil(plan.shape.width / layer.downsample)
                patches = (height // 2) * (width // 2)
                most = height * width - patches if patches else 0
                plan.merged[index] = min(int(height * width * self.ratio), most)

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """ToMe needs transformer blocks over a grid of image tokens."""
        check_denoiser(cls.name, pipeline, ("UNet2DConditionModel", "PixArtTransformer2DModel"))
        denoiser = denoiser_of(pipeline)
        if any(vars(module).get("only_cross_attention") for module in denoiser.modules()):
            raise UnfitError(
                "tome merges the tokens of self-attention, and layers of this "
                f"{type(denoiser).__name__} have none (only_cross_attention); leave tome out"
            )
        if any(getattr(module, "fused_projections", False) for module in denoiser.modules()):
            raise UnfitError(
                "tome needs separate query, key and value projections; call "
                f"unfuse_qkv_projections() on the {type(denoiser).__name__} first"
            )

    def slow_because(self, pipeline: Any) -> str | None:
        """Fused attention does not store the matrix that merging would make smaller."""
        processors = denoiser_of(pipeline).attn_processors.values()
        kinds = {type(processor).__name__ for processor in processors}
        if any("2_0" in kind or "XFormers" in kind or "Flash" in kind for kind in kinds):
            return "with fused attention, merging saves little time (tomesd issues 19 and 57)"
        return None

    def plain_code(self, use: Use) -> PlainCode:
        """The package's patch, with a random generator that starts anew with each call."""
        if use.denoiser != "unet":
            raise UnfitError(f"{self.name}: the package tomesd patches U-Nets only")
        if use.device_type != "cpu":
            raise UnfitError(
                f"{self.name}: on a GPU, the sums of the package tomesd vary from call to call"
            )
        if not use.guided:
            raise UnfitError(
                f"{self.name}: the package tomesd chooses no tokens at random in a batch of odd "
                "size, which calls without guidance may have"
            )
        if "attention outputs" in use.occupied:
            raise UnfitError(
                f"{self.name}: with the package tomesd, stored attention outputs stay merged"
            )
        if use.size is not None and not _package_finds_layers(use.size, self.max_downsample):
            raise UnfitError(
                f"{self.name}: in pictures of {use.size} the package tomesd mistakes layers of the "
                "U-Net for less downsampled ones"
            )
        generator = f"torch.Generator().manual_seed({use.seed})"
        return PlainCode(
            imports=("import tomesd",),
            setup=(
                f"tomesd.apply_patch(pipe, ratio={self.ratio}, "
                f"max_downsample={self.max_downsample})",
            ),
            before=(
                "# tomesd would go on with the random numbers of the last call.",
                f'pipe.unet._tome_info["args"]["generator"] = {generator}',
            ),
        )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Hook the self-attentions' projections.

        tomesd's own patch merges and unmerges around the whole attention module. T-GATE would then
        store merged tokens and unmerge them at a later step with another matching. Also, tomesd
        makes no random choice for batches of odd size. Here tokens are merged before the query, key
        and value projections and unmerged after the output projection: the arithmetic is the same,
        and whatever stores the output of an attention stores it unmerged.
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

    def graph_part(self, pipeline: Any, generation: Generation, call: Call) -> ToMePart:
        """The same merges, with a matching that can be compiled."""
        return ToMePart(self.ratio, self.max_downsample, generation)


def _downsampling(height: int, width: int, tokens: int) -> int:
    """The factor between the finest grid of tokens and one that has this many.

    A U-Net halves both sides and rounds them up, so that the factor is a power of 2.
    """
    factor = 1
    while ceil(height / factor) * ceil(width / factor) > tokens:
        factor *= 2
    return factor


def _package_finds_layers(size: Size, max_downsample: int) -> bool:
    """Whether tomesd merges in the layers that it should, in Stable Diffusion's U-Nets.

    It derives a layer's downsampling from the numbers of tokens, which may be wrong where a side of
    the latent (an eighth of the picture's) cannot be halved without a rest.
    """
    height, width = size.height // 8, size.width // 8
    for downsample in (1, 2, 4, 8):
        tokens = ceil(height / downsample) * ceil(width / downsample)
        derived = ceil(sqrt(height * width // tokens))
        if derived != downsample and derived <= max_downsample:
            return False
    return True


class _Merging:
    """What all layers of a denoiser share: the knobs, the size of the token grid, the rng."""

    def __init__(self, ratio: float, max_downsample: int, generation: Generation) -> None:
        self.ratio = ratio
        self.max_downsample = max_downsample
        self.generation = generation
        self.size = (0, 0)

    def restart(self) -> None:
        """Start the random choices from the seed again, whatever ran before."""
        self.generation.rng = None

    def see_denoiser(self, module: Any, args: tuple[Any, ...]) -> None:
        """Note the height and width of the finest token grid: the latent's, or its patches'."""
        patch = patch_of(module)
        self.size = (args[0].shape[2] // patch, args[0].shape[3] // patch)

    def matching(self, tokens: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]] | None:
        """Functions that merge and unmerge these tokens, or None if this layer merges none.

        `tokens` has the shape (batch, tokens, channels).
        """
        import torch
        from tomesd.merge import bipartite_soft_matching_random2d

        height, width = self.size
        downsample = _downsampling(height, width, tokens.shape[1])
        merged = int(tokens.shape[1] * self.ratio)
        rows, columns = ceil(height / downsample), ceil(width / downsample)
        if downsample > self.max_downsample or merged == 0 or min(rows, columns) < 2:
            return None
        rng = self.generation.rng
        if rng is None:
            rng = torch.Generator(tokens.device).manual_seed(self.generation.seed)
            self.generation.rng = rng
        merge, unmerge = bipartite_soft_matching_random2d(
            tokens,
            columns,
            rows,
            2,
            2,
            merged,
            generator=rng,
        )
        if tokens.is_cuda:
            merge = averages(unmerge, tokens, rows, columns, merged)
        return merge, unmerge


class _Layer:
    """The hooks of one transformer block, whose tokens are matched at the first projection."""

    def __init__(self, merging: _Merging) -> None:
        self.merging = merging
        self.metric: Any = None
        self.size: tuple[int, ...] = ()  # of the metric
        self.functions: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None
        self.merged: tuple[Any, Any] | None = None  # the projections' input and its merged form

    def see_block(self, module: Any, args: tuple[Any, ...]) -> None:
        """Store the block's input, by whose similarity tokens are matched."""
        self.metric = args[0]

    def leave_block(self, module: Any, args: tuple[Any, ...], output: Any) -> None:
        """Drop the input, in case the self-attention did not run (its output was reused)."""
        self.metric = None

    def merge(self, module: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Merge the input of a projection, once for query, key and value."""
        (tokens,) = args
        if self.metric is not None:
            self.functions = self.merging.matching(self.metric)
            self.size = tuple(self.metric.shape)
            self.metric = None
            self.merged = None
        if self.functions is None:
            return None
        check_equal(self.size, tokens.shape)
        if self.merged is None or self.merged[0] is not tokens:
            self.merged = (tokens, self.functions[0](tokens))
        return (self.merged[1],)

    def unmerge(self, module: Any, args: tuple[Any, ...], output: Any) -> Any:
        """Unmerge the output of the self-attention, and drop the stored tensors."""
        functions, self.functions, self.merged = self.functions, None, None
        return output if functions is None else functions[1](output)


component = ToMe
