"""Measuring one setting, batch by batch of prompts."""

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from tuner.measure.account import Purpose, TrialAccount
from tuner.measure.baseline import BaselineProcedure, OnPictures
from tuner.measure.baseline_store import BaselineLatency, BaselineScores
from tuner.measure.batch_generator import BatchGenerator
from tuner.measure.batches import shuffled
from tuner.measure.cache_keys import key_of
from tuner.measure.device import PeakMemory
from tuner.measure.extra_metrics import Fidelity, Reference
from tuner.measure.measurement import Measurement
from tuner.measure.notes import note_of
from tuner.measure.paired_timing import FEWEST, PairTimer
from tuner.measure.pictures import checked
from tuner.measure.prediction import Prediction
from tuner.measure.progress import Progress
from tuner.measure.warm_ups import WarmUps
from tuner.setting import Setting

StoredBatch = tuple[BaselineScores, Reference]
# Whether a measurement needs no more prompts; takes the number of prompts at the last look, too.
Settled = Callable[[Measurement, int], bool]


@dataclass(frozen=True, kw_only=True)
class SettingProcedure:
    """How a setting that has accelerators, or fewer steps, is measured.

    A batch whose baseline is not stored yet is generated with and without the setting, interleaved:
    a pair that is scored on both sides. Where the speedup is `predicted`, one more pair is timed if
    there is none of these and the prediction is to be confirmed; otherwise there are `least_pairs`,
    and more until the speedup is precise, unless `few_pairs` are wanted.
    """

    setting: Setting
    generator: BatchGenerator
    baseline: BaselineProcedure
    pairs: PairTimer
    warm_ups: WarmUps
    account: TrialAccount
    latency: BaselineLatency
    scores: BaselineScores | None  # of `prompts`; None: their baseline is taken batch by batch
    least_pairs: int
    predicted: Prediction | None
    few_pairs: bool

    def measurements(
        self, on_pictures: OnPictures | None, settled: Settled | None, *, drawn: bool
    ) -> Iterator[Measurement]:
        """What is known after each batch; see `Evaluation.measure`."""
        batches = self.generator.batches()
        rng = random.Random(f"{self.generator.seed}/{self.setting}")
        order = shuffled(batches, self.generator.more_batches(), rng, drawn=drawn)
        progress = self._begun(order)
        before, timed = 0, False
        for index, numbers in enumerate(order):
            output, reference = self._generated(progress, index, numbers)
            self._add(progress, numbers, output, reference)
            if on_pictures is not None:
                on_pictures(numbers, progress.images)
            is_full = index >= len(batches) - 1
            so_far = self._measurement(progress, all_prompts=is_full)
            is_last = index == len(order) - 1
            may_be_due = is_full and not timed
            if may_be_due and (settled is None or is_last or settled(so_far, before)):
                timed = True
                yield from self._timed(progress)
            else:
                yield so_far
            before = so_far.prompts

    def _timed(self, progress: Progress) -> Iterator[Measurement]:
        """What is known with the least number of pairs, and then with enough of them."""
        for timings in self.pairs.completed(self.setting, progress.timings):
            progress.timings = timings
            progress.latency = self._updated_latency(progress)
            yield self._measurement(progress, all_prompts=True)

    def _begun(self, order: list[range]) -> Progress:
        """Nothing is known yet; where that is necessary, a batch is generated as a warm-up."""
        stored_s, size = self.latency.latency_s, self.latency.batch_size
        none_yet = self.pairs.none_yet(stored_s, size, self.predicted)
        progress = Progress(
            setting=self.setting,
            latency=self.latency,
            timings=replace(none_yet, few=self.few_pairs),
            fidelity=Fidelity(metrics=self.baseline.extra_metrics),
        )
        if self.scores is not None:
            progress.add_baseline(range(len(self.generator.prompts)), self.scores)
        progress.paired_batch = self._batch_to_pair(order)
        if self._is_warmed_up(progress):
            with self.baseline.peak_meter() as meter:
                self.generator.warm_up(self.setting)
            progress.memory = meter.peak
            if self.warm_ups.is_due(Setting()):
                self.generator.warm_up(Setting())
        return progress

    def _is_warmed_up(self, progress: Progress) -> bool:
        """Whether a warm-up is due, or no batch is left that shows the memory of one by itself."""
        due = self.warm_ups.is_due(self.setting)
        return due or self.predicted is None or progress.paired_batch == 0

    def _batch_to_pair(self, order: list[range]) -> int | None:
        """The batch that is paired although its baseline is stored; None if others are pairs.

        It is the second one, so that the first shows the memory of the setting alone.
        """
        own = order[: len(self.generator.batches())]
        if self.predicted is not None and not self.predicted.pair:
            return None
        if any(self._is_missing(numbers, self._stored(numbers)) for numbers in own):
            return None
        full = sum(len(numbers) == len(order[0]) for numbers in own)
        return min(1, full - 1)

    def _stored(self, numbers: range) -> StoredBatch | None:
        """The baseline of a batch, where it is stored by itself."""
        further = numbers.start >= len(self.generator.prompts)
        return self.baseline.stored_batch(numbers) if further or self.scores is None else None

    def _is_missing(self, numbers: range, stored: StoredBatch | None) -> bool:
        """Whether the baseline of a batch has to be generated."""
        first = numbers.start < len(self.generator.prompts)
        return stored is None and (self.scores is None or not first)

    def _generated(
        self, progress: Progress, index: int, numbers: range
    ) -> tuple[Any, Reference | None]:
        """The pictures of a batch; the baseline's reference where the batch has one of its own."""
        full = len(numbers) == len(self.generator.batches()[0])
        stored = self._stored(numbers)
        missing = self._is_missing(numbers, stored)
        before = None
        if full and (missing or self._is_paired(progress, index)):
            purposes = (Purpose.BASELINE if missing else Purpose.TIMING, Purpose.SCORED)
            before, output, progress.timings = self.pairs.pair(
                self.setting, numbers, progress.timings, purposes=purposes
            )
        else:
            meter = self.baseline.peak_meter()
            unknown = progress.memory == PeakMemory()
            with meter if unknown else nullcontext():
                output, _ = self.generator.generate_with(self.setting, numbers)
            progress.memory = meter.peak if unknown else progress.memory
        return output, self._take_baseline(progress, numbers, stored, before if missing else None)

    def _take_baseline(
        self, progress: Progress, numbers: range, stored: StoredBatch | None, before: Any | None
    ) -> Reference | None:
        """Take in the baseline of a batch: as it is stored, or from its pictures `before`."""
        further = numbers.start >= len(self.generator.prompts)
        if not further and self.scores is not None:
            return None
        if stored is None and before is None:  # a smaller batch, which is not paired
            before, _ = self.generator.generate_with(Setting(), numbers, purpose=Purpose.BASELINE)
        if not further:
            if stored is None:
                scores = self.baseline.collect(numbers, before)
            else:
                scores, _ = stored
                self.baseline.collect_stored(numbers, scores)
            progress.add_baseline(numbers, scores)
            return None
        scores, reference = stored or self.baseline.of_pictures(numbers, before)
        progress.add_baseline(numbers, scores)
        return reference

    def _is_paired(self, progress: Progress, index: int) -> bool:
        if self.predicted is None:
            return len(progress.timings.ratios) < self.least_pairs and index < self.least_pairs
        return index == progress.paired_batch

    def _add(
        self, progress: Progress, numbers: range, output: Any, reference: Reference | None
    ) -> None:
        """Check and score the pictures of a batch."""
        prompts = self.generator.texts(numbers)
        with self.generator.ledger.spent(Purpose.SCORING):
            progress.images = checked(output)
            scores = self.baseline.metric.score(progress.images, prompts)
            progress.add(numbers, prompts, scores, reference or self.baseline.reference)

    def _updated_latency(self, progress: Progress) -> BaselineLatency:
        """The baseline's latency from now on; one that has changed replaces the stored one."""
        timings, stored = progress.timings, progress.latency
        is_first = bool(stored.provisional) and len(timings.latest) >= FEWEST
        if timings.drifts or not (timings.baseline_changed or is_first):
            return stored
        now = BaselineLatency.of(list(timings.latest), stored.batch_size, stored.memory)
        self.baseline.store_latency(now)
        return now

    def _measurement(self, progress: Progress, *, all_prompts: bool) -> Measurement:
        """The figures so far; `all_prompts`: whether every batch of a trial was generated."""
        loss, timings = progress.score_loss, progress.timings
        first = self.scores.scores if self.scores else list(progress.baseline_scores.values())
        pipeline = self.generator.pipeline
        return Measurement(
            prompts=len(progress.scores),
            speedup=timings.speedup,
            speedup_from=timings.source,
            denoising=timings.denoising,
            score_loss=loss,
            baseline_s=progress.latency.latency_s,
            baseline_denoising_s=progress.latency.denoising_s,
            latency_key=key_of(self.baseline.latency_parts),
            score=(1 - loss.value) * sum(first) / len(first),
            fidelity=progress.fidelity.estimates(),
            scores=[progress.scores[number] for number in progress.numbers],
            baseline_scores=[progress.baseline_scores[number] for number in progress.numbers],
            numbers=progress.numbers,
            ratios=timings.ratios,
            predicted=None if self.predicted is None else self.predicted.claimed,
            memory=progress.memory,
            same_pictures=progress.same_pictures,
            note=note_of(progress.setting, pipeline, timings, same_pictures=progress.same_pictures),
            unsteady=timings.unsteady if all_prompts else None,
            timed=self.pairs.enough(timings),
            cost=self.account.so_far(),
        )
