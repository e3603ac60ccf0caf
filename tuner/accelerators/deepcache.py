"""DeepCache, through the package DeepCache."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from tuner.accelerators import Accelerator, Value, knob
from tuner.accelerators._deepcache_graph import DeepCachePart
from tuner.errors import UnfitError
from tuner.pipelines.denoiser import check_denoiser
from tuner.pipelines.generation import Call, Generation
from tuner.plain_code import PlainCode, Use
from tuner.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class DeepCache(Accelerator):
    """Reuse the U-Net's deep features between full passes (Ma et al., 2023, arXiv 2312.00858).

    A longer interval is faster and changes the picture more. With a deeper branch more of the U-Net
    is computed at every step, which is slower and changes the picture less.
    """

    name: ClassVar[str] = "deepcache"
    paper: ClassVar[str] = "arXiv 2312.00858"
    packages: ClassVar[tuple[str, ...]] = ("DeepCache",)
    occupies: ClassVar[frozenset[str]] = frozenset({"block outputs"})
    order: ClassVar[int] = 0
    known_good: ClassVar[tuple[dict[str, Value], ...]] = (
        {"cache_interval": 3, "cache_branch_id": 0},
        {"cache_interval": 2, "cache_branch_id": 0},
        {"cache_interval": 5, "cache_branch_id": 0},
    )

    neutral: ClassVar[dict[str, Value]] = {"cache_interval": 1, "cache_branch_id": 0}

    cache_interval: int = knob(
        (2, 3, 4, 5),
        low=1,
        high=1000,
        off=1,
        help="the whole U-Net is computed once in this many steps",
    )
    cache_branch_id: int = knob(
        (0, 1, 2, 3),
        low=0,
        high=11,
        gentler_when_higher=True,
        help="number of the skip branch whose cached output is reused; 0 is the shallowest",
    )

    def plan(self, plan: Plan) -> None:
        """A full pass every `cache_interval` steps, counted from the last full step required."""
        start = 0
        for number, step in enumerate(plan.steps):
            if number in plan.full_steps or self.must_be_full(number):
                start = number
            if (number - start) % self.cache_interval:
                step.entered = self.cache_branch_id
                for index, layer in enumerate(plan.shape.layers):
                    if layer.branch > self.cache_branch_id:
                        step.self_source[index] = step.cross_source[index] = None

    def must_be_full(self, step: int) -> bool:
        """Whether this step is a full pass whatever the interval; overridden by subclasses."""
        return False

    @classmethod
    def check(cls, pipeline: Any) -> None:
        """DeepCache needs a U-Net with skip branches."""
        check_denoiser(cls.name, pipeline, ("UNet2DConditionModel",))

    def plain_code(self, use: Use) -> PlainCode:
        """The package's helper."""
        knobs = f"cache_interval={self.cache_interval}, cache_branch_id={self.cache_branch_id}"
        return PlainCode(
            imports=("from DeepCache import DeepCacheSDHelper",),
            setup=(
                "helper = DeepCacheSDHelper(pipe=pipe)",
                f"helper.set_params({knobs})",
                "helper.enable()",
            ),
        )

    def patch(self, pipeline: Any, generation: Generation, call: Call) -> Callable[[], None]:
        """Wrap the U-Net and its blocks with the package's helper."""
        blocks = len(pipeline.unet.down_blocks)
        layers = len(pipeline.unet.down_blocks[0].resnets) + 1
        if layers != 3:
            raise UnfitError(
                f"{self.name} needs a U-Net with 2 ResNets in each block, and this one has "
                f"{layers - 1}; leave {self.name} out"
            )
        if self.cache_branch_id >= 3 * blocks:
            raise UnfitError(
                f"{self.name}.cache_branch_id = {self.cache_branch_id} does not exist in this "
                f"U-Net; it has 0 … {3 * blocks - 1}"
            )

        helper = _helper()(pipeline, generation, self.must_be_full)
        helper.set_params(cache_interval=self.cache_interval, cache_branch_id=self.cache_branch_id)
        helper.enable()

        def reset() -> None:
            helper.start_timestep = None
            helper.cached_output.clear()

        return reset

    def graph_part(self, pipeline: Any, generation: Generation, call: Call) -> DeepCachePart:
        """Full and shallow passes, each with a graph of its own."""
        return DeepCachePart(
            self.cache_interval, self.cache_branch_id, generation, self.must_be_full
        )


@cache
def _helper() -> Any:
    """A subclass of the package's helper that is given the step instead of looking it up.

    The package looks the timestep up in the scheduler's list. That finds the wrong step if a
    timestep is listed twice, and each comparison waits for the GPU.
    """
    from DeepCache import DeepCacheSDHelper

    class Helper(DeepCacheSDHelper):  # type: ignore[misc]
        def __init__(
            self, pipeline: Any, generation: Generation, must_be_full: Callable[[int], bool]
        ) -> None:
            super().__init__(pipe=pipeline)
            self._generation = generation
            self._must_be_full = must_be_full

        def wrap_unet_forward(self) -> None:
            forward = self.function_dict["unet_forward"] = self.pipe.unet.forward

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                now = self._generation
                self.cur_timestep = now.step
                if now.afresh or self._must_be_full(now.step):
                    self.start_timestep = None
                    self.cached_output.clear()
                return forward(*args, **kwargs)

            self.pipe.unet.forward = wrapped

        def reset_states(self) -> None:
            super().reset_states()
            self.cached_output = _Outputs(self.pipe.unet.up_blocks)

    return Helper


class _Outputs(dict[Any, Any]):
    """Cached outputs by module, copied if FreeU is on, which scales features in place."""

    def __init__(self, up_blocks: Any) -> None:
        super().__init__()
        self._up_blocks = up_blocks

    def __setitem__(self, module: Any, output: Any) -> None:
        super().__setitem__(module, self._copied_for_freeu(module, output))

    def __getitem__(self, module: Any) -> Any:
        return self._copied_for_freeu(module, super().__getitem__(module))

    def _copied_for_freeu(self, module: tuple[Any, ...], output: Any) -> Any:
        if module[0] == "down" or not any(getattr(block, "b1", None) for block in self._up_blocks):
            return output
        return tuple(map(_copy, output)) if isinstance(output, tuple) else _copy(output)


def _copy(value: Any) -> Any:
    return value.clone() if hasattr(value, "clone") else value


component = DeepCache
