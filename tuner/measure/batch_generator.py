"""Generating pictures batch by batch, with noise that depends on the prompt only."""

import hashlib
import inspect
from dataclasses import dataclass, field
from typing import Any

from tuner.applying.applied import Generate, applied
from tuner.measure.account import Ledger, Purpose
from tuner.measure.batches import split
from tuner.measure.compile_meter import CompileMeter
from tuner.measure.fewer_steps import FewerSteps
from tuner.measure.interleave import YieldControl
from tuner.measure.stopwatch import Seconds, Stopwatch
from tuner.pipelines.call_arguments import CallArguments
from tuner.pipelines.calls import steps_to_request
from tuner.pipelines.denoiser import called_denoiser
from tuner.setting import Setting
from tuner.size import Size

# How often a batch is generated at most until nothing is compiled any more. With CUDA graphs a kind
# of pass is compiled when it first runs, and recorded when it runs again.
MOST_WARM_UPS = 4


@dataclass(frozen=True, kw_only=True)
class BatchGenerator:
    """How pictures are generated: everything that changes them except the setting.

    A prompt is named by its number: its place in `prompts`, followed by `more_prompts`.
    """

    pipeline: Any
    device: str
    steps: int  # passes of the denoiser, which may be fewer than the call's num_inference_steps
    prompts: list[str]  # every setting is measured on these
    size: Size  # of the pictures
    call: CallArguments  # those of `prompts` and `more_prompts`
    batch_size: int = 4
    seed: int = 42
    more_prompts: list[str] = field(default_factory=list)  # for inconclusive settings
    verifies: bool = False  # whether a search's winner is measured, and not its trials
    ledger: Ledger = field(default_factory=Ledger, compare=False)  # of what generating costs

    def batches(self) -> list[range]:
        """The numbers of `prompts`, batch by batch; only the last batch may be smaller."""
        return split(0, len(self.prompts), self.batch_size)

    def more_batches(self) -> list[range]:
        """The numbers of `more_prompts`, batch by batch; only the last batch may be smaller."""
        count = len(self.prompts)
        return split(count, count + len(self.more_prompts), self.batch_size)

    def texts(self, numbers: range) -> list[str]:
        """The prompts of these numbers."""
        first = len(self.prompts)
        return [self.prompts[n] if n < first else self.more_prompts[n - first] for n in numbers]

    def requested_steps(self, steps: int) -> int:
        """The `num_inference_steps` with which the call runs this number of steps.

        Raises `UsageError` if there is none.
        """
        return steps_to_request(self.pipeline, self.call.common, steps)

    def generate(
        self,
        call: Generate,
        numbers: range,
        stopwatch: Stopwatch | None = None,
        purpose: Purpose = Purpose.SCORED,
        steps: int | None = None,
    ) -> tuple[Any, Seconds]:
        """Generate one batch by calling a pipeline; its seconds are entered for the purpose.

        A batch during which anything was compiled is generated again, so that compiling is never
        part of the seconds.

        `steps` is the number of passes: this generator's unless another is given.

        Returns:
            The pictures, a tensor of shape (batch, 3, height, width) with values in
            [0, 1], and the seconds that the call took.
        """
        stopwatch = stopwatch or Stopwatch(called_denoiser(self.pipeline), self.device)
        for _ in range(MOST_WARM_UPS):
            with CompileMeter() as meter:
                pictures, elapsed = self._generated(call, numbers, stopwatch, steps)
            if not meter.compiled:
                break
            self.ledger.add_compiling(meter.seconds, meter.graphs)
            running = max(0.0, elapsed.elapsed - meter.seconds)
            self.ledger.add(Purpose.WARM_UP, running, len(numbers))
        else:
            pictures, elapsed = self._generated(call, numbers, stopwatch, steps)
        if self.verifies and purpose in (Purpose.SCORED, Purpose.BASELINE):
            purpose = Purpose.VERIFICATION
        self.ledger.add(purpose, elapsed.elapsed, len(numbers))
        return pictures, elapsed

    def _generated(
        self, call: Generate, numbers: range, stopwatch: Stopwatch, steps: int | None
    ) -> tuple[Any, Seconds]:
        """Generate one batch; the arguments are those of `generate`."""
        import torch

        # Drawn on the CPU, so that every device begins with the same noise.
        generators = [
            torch.Generator().manual_seed(prompt_seed(self.seed, number)) for number in numbers
        ]
        call_arguments = self.call
        if steps is not None and steps != self.steps:
            call_arguments = self.call.changed(num_inference_steps=self.requested_steps(steps))
        arguments = call_arguments.of_batch(numbers)
        if "use_resolution_binning" in inspect.signature(call).parameters:
            # PixArt would generate at the nearest size that it was trained on, and resize.
            arguments["use_resolution_binning"] = False
        with stopwatch.timed() as seconds:
            output = call(self.texts(numbers), generator=generators, output_type="pt", **arguments)
        return output.images, seconds()

    def generate_with(
        self,
        setting: Setting,
        numbers: range,
        yield_control: YieldControl | None = None,
        pipeline: Any = None,
        purpose: Purpose = Purpose.SCORED,
    ) -> tuple[Any, Seconds]:
        """Generate one batch with a setting; pictures and seconds as `generate` returns them.

        Args:
            setting: which accelerators are on, or a smaller number of steps.
            numbers: the prompts' numbers.
            yield_control: called before each step, where another batch is generated in between.
            pipeline: a pipeline to use instead of this generator's.
            purpose: what the pictures are for.
        """
        pipeline = pipeline or self.pipeline
        stopwatch = Stopwatch(called_denoiser(pipeline), self.device, yield_control)
        with applied(pipeline, setting.accelerators, seed=self.seed) as call:
            steps = setting.steps if isinstance(setting, FewerSteps) else self.steps
            return self.generate(call, numbers, stopwatch, purpose, steps)

    def warm_up(self, setting: Setting) -> None:
        """Generate the first batch with a setting, which is neither timed nor scored."""
        self.generate_with(setting, self.batches()[0], purpose=Purpose.WARM_UP)


def prompt_seed(seed: int, number: int) -> int:
    """The seed of one prompt's noise, from the study's seed and the prompt's number."""
    text = f"{seed}/{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7])
