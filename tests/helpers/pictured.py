"""A simulated study whose trials draw pictures, so that it has sheets and notes without a model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.simulated import Bench
from tuner.dashboard.pages import StudyPages
from tuner.dashboard.pictures import PictureStore
from tuner.measure.evaluation import Measurement
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.storage.artifacts import create_artifact_store
from tuner.study.baseline import set_baseline
from tuner.study.identity import request

PROMPTS = ["a red circle", "a blue ring left of a green cross"]
BASELINE_SCORES = [30.0, 32.0]


def picture(seed: int, side: int = 64) -> Any:
    """A picture of 16 random colours, the same for a seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)


class PicturedBench(Bench):
    """A bench whose two prompts have pictures; the second one loses all that a setting loses."""

    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__(folder, **{"search_targets": ("deepcache",)} | changes)  # type: ignore[arg-type]
        self.study.set_user_attr("request", request(self.spec))
        self.study.set_user_attr("pipeline", "StableDiffusionPipeline")
        self.study.set_user_attr("versions", {"torch": "2.15.0"})
        set_baseline(self.study, {"latency_s": 1.0, "score": 31.0, "num_samples": 2})
        self.folder = folder / "pictures"
        self.pictures = PictureStore(
            study=self.study,
            store=create_artifact_store(self.study, self.folder / "artifacts"),
            database=self.storage,
            parts={"seed": 42, "prompts": "2 abc", "metric": "clip"},
            texts=lambda numbers: [PROMPTS[number] for number in numbers],
        )
        self.notices: list[str] = []
        self.pages = StudyPages(
            self.study,
            Goal.of(self.spec),
            self.storage,
            pictures=self.pictures,
            folder=self.folder,
            every_trial=True,
            warn=self.notices.append,
        )

    def measure(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        return self.pages.watched(trial, self._measured(setting, trial))

    def _measured(self, setting: Setting, trial: int) -> Iterator[Measurement]:
        for measured in super().measure(setting, trial):
            for number in range(2):
                self.pictures.keep(range(number, number + 1), [picture(10 * trial + number)])
            loss = measured.score_loss.value * sum(BASELINE_SCORES)
            scores = [BASELINE_SCORES[0], BASELINE_SCORES[1] - loss]
            yield replace(measured, scores=scores, baseline_scores=BASELINE_SCORES)

    def run(self) -> None:
        """Draw the baseline, search, and bring the pages up to date."""
        self.pictures.keep_baseline(range(2), [picture(1000), picture(1001)])
        self.pages.begin(BASELINE_SCORES)
        self.search(observer=self.pages)
        self.pages.end()
