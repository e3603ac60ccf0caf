"""Measuring the baseline once, and storing it under a key of everything that changes it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from tuner.applying.applied import applied
from tuner.errors import BadPictureError, UsageError
from tuner.measure import device as machine
from tuner.measure.account import Purpose
from tuner.measure.baseline_store import BaselineLatency, BaselineScores, Store, payload_of
from tuner.measure.batch_generator import BatchGenerator
from tuner.measure.cache_keys import key_of, prompts_part
from tuner.measure.compile_errors import compile_errors
from tuner.measure.extra_metrics import ExtraMetric, Reference
from tuner.measure.out_of_memory import memory_errors, remedy
from tuner.measure.pictures import checked, digest
from tuner.measure.scorer_memory import scorer_bytes
from tuner.measure.stopwatch import Seconds
from tuner.measure.warm_ups import WarmUps
from tuner.metrics import Metric
from tuner.pipelines.compiling import original
from tuner.pipelines.denoiser import called_denoiser
from tuner.setting import Setting

OnBatch = Callable[[int, int], None]  # called with the batches done and their total
OnPictures = Callable[[range, list[Any]], None]  # called with prompts' numbers and their pictures
OWNER = "the baseline's "  # for the error about a broken picture


@dataclass(frozen=True, kw_only=True)
class BaselineProcedure:
    """How the baseline is measured where it is not stored."""

    generator: BatchGenerator
    metric: Metric
    extra_metrics: tuple[ExtraMetric, ...]
    store: Store
    score_parts: dict[str, Any]
    latency_parts: dict[str, Any]
    timed_batches: int  # the least number that gives the latency
    warm_ups: WarmUps
    on_pictures: OnPictures | None = None  # called with each batch of the baseline's pictures
    # By the number of a prompt: score and digest, of batches that came with a setting's.
    collected: dict[int, tuple[float, str]] = field(default_factory=dict)

    @cached_property
    def reference(self) -> Reference:
        """The extra metrics' side of the prompts that every setting is measured on."""
        return Reference(self.extra_metrics, self.score_parts, self.store)

    def measured(self, on_batch: OnBatch | None = None) -> tuple[BaselineScores, BaselineLatency]:
        """The baseline of the prompts that every setting is measured on.

        Raises:
            UsageError: its mean score is zero or less, so that a loss is undefined; or the
                device's memory is too small.
        """
        stored_scores = self.store.get("scores", key_of(self.score_parts))
        stored_latency = self.store.get("latency", key_of(self.latency_parts))
        reference = self.reference
        if stored_scores is not None and stored_latency is not None and reference.complete:
            return BaselineScores(**stored_scores), BaselineLatency(**stored_latency)
        scores, latency = self._generated(
            reference,
            on_batch,
            needs_scores=stored_scores is None,
            timed_batches=self.timed_batches,
        )
        if stored_scores is None:
            self._store_scores(scores)
        else:
            scores = BaselineScores(**stored_scores)
        reference.save()
        if stored_latency is None or stored_latency.get("provisional"):
            self.store_latency(latency)
        else:  # the memory that an earlier version stored includes the scorer's
            latency = replace(BaselineLatency(**stored_latency), memory=latency.memory)
            self.store_latency(latency)
        return scores, latency

    def latency(self) -> BaselineLatency:
        """The latency from the store; or that of one batch, stored until pairs have timed more.

        Extra metrics are not supported.
        """
        stored = self.stored_latency
        if stored is None:
            _, stored = self._generated(self.reference, None, needs_scores=False, timed_batches=1)
            stored = replace(stored, provisional=True)
            self.store_latency(stored)
        return stored

    def store_latency(self, latency: BaselineLatency) -> None:
        """Store a latency, in place of the stored one."""
        parts = self.latency_parts
        self.store.put("latency", key_of(parts), parts, payload_of(latency))

    def peak_meter(self) -> machine.PeakMeter:
        """Measures the pipeline's peak memory, without the scorer's."""
        device = self.generator.device
        return machine.PeakMeter(device, scorer_bytes(self.metric, self.extra_metrics, device))

    @property
    def stored_latency(self) -> BaselineLatency | None:
        """The latency in the store, if it is there."""
        stored = self.store.get("latency", key_of(self.latency_parts))
        return None if stored is None else BaselineLatency(**stored)

    @property
    def has_all_scores(self) -> bool:
        """Whether the store has the scores of the prompts that every setting is measured on."""
        return self.store.get("scores", key_of(self.score_parts)) is not None

    def stored_batch(self, numbers: range) -> tuple[BaselineScores, Reference] | None:
        """The baseline of one batch from the store, where it has a key of its own; or None."""
        parts, reference = self._batch_parts(numbers)
        stored = self.store.get("scores", key_of(parts))
        if stored is None or not reference.complete:
            return None
        return BaselineScores(**stored), reference

    def of_pictures(self, numbers: range, output: Any) -> tuple[BaselineScores, Reference]:
        """The baseline of one batch from its pictures; it is stored under a key of its own."""
        try:
            images, scores = self._of_output(numbers, output)
        except BadPictureError as error:  # which is not the setting's fault
            count = len(self.generator.prompts)
            raise BadPictureError(
                f"{error}; max_samples = {count} leaves out this batch"
            ) from error
        reference = self._store_batch(numbers, scores)
        if not reference.complete:
            reference.add(numbers, images, self.generator.texts(numbers))
        reference.save()
        return scores, reference

    def collect(self, numbers: range, output: Any) -> BaselineScores:
        """Score a batch of the prompts that every setting is measured on; it is stored at once.

        Extra metrics are not supported.

        Raises `BadPictureError` for a broken picture.
        """
        _, scores = self._of_output(numbers, output)
        self._store_batch(numbers, scores)
        self.collect_stored(numbers, scores)
        return scores

    def collect_stored(self, numbers: range, scores: BaselineScores) -> None:
        """Collect a batch that was stored before.

        Once all batches were collected, their baseline is stored as `measured` stores it.
        """
        pairs = zip(scores.scores, scores.digests, strict=True)
        self.collected.update(zip(numbers, pairs, strict=True))
        count = len(self.generator.prompts)
        if len(self.collected) == count:
            ordered = [self.collected[number] for number in range(count)]
            self._store_scores(
                BaselineScores(
                    scores=[score for score, _ in ordered], digests=[text for _, text in ordered]
                )
            )

    def _store_batch(self, numbers: range, scores: BaselineScores) -> Reference:
        """Store the scores of a batch under a key of its own; returns the batch's reference."""
        parts, reference = self._batch_parts(numbers)
        self.store.put("scores", key_of(parts), parts, payload_of(scores))
        return reference

    def _of_output(self, numbers: range, output: Any) -> tuple[list[Any], BaselineScores]:
        """The pictures of a batch, checked, and their scores and digests."""
        images = checked(output, OWNER)
        self._report(numbers, images)
        scores = self._scored(images, self.generator.texts(numbers))
        return images, BaselineScores(scores=scores, digests=[digest(image) for image in images])

    def _report(self, numbers: range, images: list[Any]) -> None:
        if self.on_pictures is not None:
            self.on_pictures(numbers, images)

    def _store_scores(self, scores: BaselineScores) -> None:
        """Store the scores of the prompts that every setting is measured on."""
        _check_positive(scores.scores)
        self.store.put("scores", key_of(self.score_parts), self.score_parts, payload_of(scores))

    def _batch_parts(self, numbers: range) -> tuple[dict[str, Any], Reference]:
        """What the key of one batch's scores is made of, and the batch's reference."""
        prompts = prompts_part(self.generator.texts(numbers))
        parts = self.score_parts | {"prompts": f"{prompts} from {numbers.start}"}
        if "call_of_each" in parts:
            parts["call_of_each"] = self.generator.call.described_each(numbers)
        return parts, Reference(self.extra_metrics, parts, self.store, numbers.start)

    def _scored(self, images: list[Any], prompts: list[str]) -> list[float]:
        with self.generator.ledger.spent(Purpose.SCORING):
            scores: list[float] = self.metric.score(images, prompts)
            return scores

    def _generated(
        self,
        reference: Reference,
        on_batch: OnBatch | None,
        *,
        needs_scores: bool,
        timed_batches: int,
    ) -> tuple[BaselineScores, BaselineLatency]:
        """Generate the baseline, all of it or as many batches as are timed.

        Without `needs_scores` the scores are empty.
        """
        scores: list[float] = []
        digests: list[str] = []
        seconds: list[Seconds] = []
        generator = self.generator
        batches = generator.batches()
        purpose = Purpose.BASELINE if needs_scores else Purpose.TIMING
        message = f"out of memory while measuring the baseline; {remedy(generator.batch_size)}"
        no_setting = applied(generator.pipeline, (), seed=generator.seed)
        compiling = compile_errors(original(called_denoiser(generator.pipeline)))
        with memory_errors(UsageError, message), compiling, no_setting as call:
            with self.peak_meter() as meter:
                generator.generate(call, batches[0], None, Purpose.WARM_UP)
            self.warm_ups.add(Setting())
            for index, numbers in enumerate(batches):
                output, elapsed = generator.generate(call, numbers, None, purpose)
                images, prompts = checked(output, OWNER), generator.texts(numbers)
                if len(numbers) == len(batches[0]):
                    seconds.append(elapsed)
                if needs_scores:
                    scores += self._scored(images, prompts)
                    digests += [digest(image) for image in images]
                if not reference.complete:
                    reference.add(numbers, images, prompts)
                self._report(numbers, images)
                if on_batch is not None:
                    on_batch(index + 1, len(batches))
                only_timed = not needs_scores and reference.complete
                if only_timed and index + 1 >= timed_batches:
                    break
        latency = BaselineLatency.of(seconds, len(batches[0]), asdict(meter.peak))
        return BaselineScores(scores=scores, digests=digests), latency


def _check_positive(scores: list[float]) -> None:
    """Raise `UsageError` where the mean score is zero or less."""
    if sum(scores) <= 0:
        raise UsageError(
            f"the baseline's mean score is {sum(scores) / len(scores):.2f}: the score loss is a "
            "share of it, so it must be above zero; check model and prompts"
        )
