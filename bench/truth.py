"""Truth tables: complete products of knob values on the miniature, scored on many prompts.

    python -m bench.truth                     # says what there is, and how long the rest will take
    python -m bench.truth --run               # goes on with the first table that is not finished
    python -m bench.truth --run --only tgate --scheduler DDIM --prompts 32

Each table is one file under `bench/truth/`: a product over some knobs with one row for each
distinct computation, and the score of each of the first prompts of the truth pool, batch by batch.
It is written after every few settings and read at the start, so that a run that ends goes on where
it was. Equal first steps are computed once (`bench._shared`). Baseline and settings alike are
generated under bfloat16 autocast, which is half as fast again on a CPU that has it. Latencies have
a command of their own, `bench.latency`, because they want a quiet machine.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bench._miniature import MODEL, evaluation_of, pipeline, quiet
from bench._shared import Trail, in_order, keys_of, shared, start_of
from tuner.accelerators import Value
from tuner.accelerators._plan import Shape, plan_of, shape_of
from tuner.measure.pictures import checked
from tuner.setting import Params, Setting, canonical, identity

FOLDER = Path(__file__).parent / "truth"
BATCH = 32
SAVE_S = 60  # between two writings of a table
PROMPTS = 128

Knobs = dict[str, tuple[Value, ...]]
Values = dict[str, Knobs]
_DEEPCACHE: Knobs = {"cache_interval": (2, 3, 4, 5), "cache_branch_id": (0, 1, 2, 3)}
_TOME: Knobs = {
    "ratio": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "max_downsample": (1, 2, 3, 4),
}
_TGATE: Knobs = {
    "gate_step": (5, 7, 9, 11, 13, 15, 17, 19),
    "sp_interval": (2, 3, 4, 5, 6, 7, 9),
    "fi_interval": (1, 2, 3, 5),
    "warmup": (1, 2, 3),
}
_ALL: Values = {
    "deepcache": {"cache_interval": (2, 3, 5), "cache_branch_id": (0, 1, 2)},
    "tome": {"ratio": (0.2, 0.5), "max_downsample": (1,)},
    "tgate": {
        "gate_step": (5, 8, 12, 16),
        "sp_interval": (2, 3, 5, 9),
        "fi_interval": (1, 3, 5),
        "warmup": (1, 3),
    },
}


@dataclass(frozen=True, kw_only=True)
class Product:
    """What a table holds: every combination of these values, for one scheduler and its steps."""

    name: str
    scheduler: str
    steps: int
    values: Values

    @property
    def file(self) -> Path:
        """Where the table is kept."""
        return FOLDER / f"{self.name}-{self.scheduler}-{self.steps}.npz"

    def settings(self, shape: Shape) -> list[Setting]:
        """One setting for each distinct computation of the product."""
        parts = [
            [{name: dict(zip(knobs, chosen, strict=True))} for chosen in product(*knobs.values())]
            for name, knobs in self.values.items()
        ]
        found: dict[Any, Setting] = {}
        for chosen in product(*parts):
            params: Params = {name: values for one in chosen for name, values in one.items()}
            setting = canonical(Setting.of(params), shape, self.steps)
            found.setdefault(identity(setting, shape, self.steps), setting)
        return in_order(list(found.values()), shape, self.steps)


PRODUCTS = (
    Product(name="deepcache", scheduler="DDIM", steps=20, values={"deepcache": _DEEPCACHE}),
    Product(name="tome", scheduler="DDIM", steps=20, values={"tome": _TOME}),
    Product(name="tgate", scheduler="DDIM", steps=20, values={"tgate": _TGATE}),
    Product(
        name="deepcache-tome",
        scheduler="DDIM",
        steps=20,
        values={"deepcache": _DEEPCACHE, "tome": _TOME},
    ),
    Product(name="all", scheduler="DDIM", steps=20, values=_ALL),
    Product(name="tgate", scheduler="DPM-Solver++", steps=20, values={"tgate": _TGATE}),
    Product(
        name="deepcache-tome",
        scheduler="DPM-Solver++",
        steps=20,
        values={"deepcache": _DEEPCACHE, "tome": _TOME},
    ),
)


@dataclass
class Table:
    """A product's scores; NaN where nothing was generated yet."""

    settings: list[Setting]
    scores: np.ndarray  # (settings, prompts)
    baseline: np.ndarray  # (prompts,)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def prompts(self) -> int:
        """How many prompts every setting has."""
        return int(np.isfinite(np.vstack([self.scores, self.baseline])).all(axis=0).sum())

    @property
    def losses(self) -> np.ndarray:
        """Each setting's score loss over the prompts that every setting has."""
        count = self.prompts
        found: np.ndarray = 1 - self.scores[:, :count].sum(axis=1) / self.baseline[:count].sum()
        return found


def read(file: Path) -> Table:
    """A table as far as it got."""
    with np.load(file) as found:
        return Table(
            settings=[Setting.of(params) for params in json.loads(str(found["settings"]))],
            scores=found["scores"],
            baseline=found["baseline"],
            about=json.loads(str(found["about"])),
        )


def write(table: Table, file: Path) -> None:
    """Write a table in one piece: a kill leaves the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".tmp.npz")
    np.savez_compressed(
        scratch,
        settings=json.dumps([one.params for one in table.settings]),
        scores=table.scores.astype(np.float32).round(3),
        baseline=table.baseline.astype(np.float32).round(3),
        about=json.dumps(table.about),
    )
    scratch.replace(file)


def begun(wanted: Product, shape: Shape) -> Table:
    """The table as it is on disk, or an empty one."""
    settings = wanted.settings(shape)
    table = Table(
        settings=settings,
        scores=np.full((len(settings), PROMPTS), np.nan, dtype=np.float32),
        baseline=np.full(PROMPTS, np.nan, dtype=np.float32),
        about={
            "prompts": "truth pool",
            "guidance_scale": MODEL.guidance_scale,
            "seed": 42,
            "autocast": "bfloat16",
        },
    )
    if wanted.file.exists():
        kept = read(wanted.file)
        if kept.about != table.about:
            raise SystemExit(f"{wanted.file} is of {kept.about}, not {table.about}: move it away")
        rows = {identity(one, shape, wanted.steps): row for row, one in enumerate(kept.settings)}
        for row, setting in enumerate(settings):
            known = rows.get(identity(setting, shape, wanted.steps))
            if known is not None:
                table.scores[row] = kept.scores[known]
        table.baseline = kept.baseline
    return table


def fill(wanted: Product, table: Table, prompts: int) -> None:
    """Generate what is missing, one batch of prompts after the other for all settings."""
    import torch

    evaluation = evaluation_of(
        "truth", PROMPTS, scheduler=wanted.scheduler, steps=wanted.steps, batch_size=BATCH
    )
    pipe = evaluation.pipeline
    shape = shape_of(pipe, MODEL.resolution)
    rows = [(Setting(), table.baseline), *zip(table.settings, table.scores, strict=True)]
    saved = begin = time.monotonic()
    done = 0
    for numbers in evaluation.batches()[: prompts // BATCH]:
        trail = Trail()
        missing = [row for row in rows if np.isnan(row[1][numbers.start])]
        for nth, (setting, scores) in enumerate(missing, 1):
            with (
                shared(pipe, setting, shape, wanted.steps, trail, seed=evaluation.seed) as call,
                torch.autocast("cpu", torch.bfloat16),
            ):
                output, _ = evaluation.generate(call, numbers)
            texts = evaluation.texts(numbers)
            scores[numbers.start : numbers.stop] = evaluation.metric.score(checked(output), texts)
            done += 1
            if time.monotonic() - saved > SAVE_S:
                write(table, wanted.file)
                saved = time.monotonic()
                rate = (saved - begin) / done
                print(f"{wanted.file.stem}: {numbers}, {nth} of {len(missing)}, {rate:.1f} s each")
    write(table, wanted.file)


def work(table: Table, wanted: Product, shape: Shape, prompts: int) -> float:
    """Generations of the baseline, in images, that the missing scores are worth."""
    total = 0.0
    for start in range(0, prompts, BATCH):
        trail: list[Any] = []
        for setting, scores in zip(table.settings, table.scores, strict=True):
            if not np.isnan(scores[start]):
                continue
            plan = plan_of(setting.accelerators, shape, wanted.steps)
            keys = keys_of(setting, plan)
            first = start_of(plan, keys, trail)
            trail = keys
            layers = len(plan.shape.layers)
            for number, step in list(enumerate(plan.steps))[first:]:
                run = sum(source is not None for source in step.self_source) / layers
                computed = sum(source == number for source in step.self_source) / layers
                # About a third of a step is self-attention.
                total += (1 + step.guided) / 2 * (0.65 * max(run, 0.15) + 0.35 * computed)
    return total / wanted.steps * BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--only", help="the tables of this name")
    parser.add_argument("--scheduler", help="the tables for this scheduler")
    parser.add_argument("--prompts", type=int, default=PROMPTS, help="a multiple of 32")
    args = parser.parse_args()
    quiet()
    for wanted in PRODUCTS:
        if args.only not in (None, wanted.name) or args.scheduler not in (None, wanted.scheduler):
            continue
        pipe = pipeline(wanted.scheduler)
        shape = shape_of(pipe, MODEL.resolution)
        table = begun(wanted, shape)
        images = work(table, wanted, shape, args.prompts)
        print(
            f"{wanted.file.stem}: {len(table.settings)} settings, {table.prompts} prompts done; "
            f"the rest is worth {images:,.0f} pictures of the baseline, "
            f"{images / 5 / 3600:.1f} hours at five a second",
            flush=True,
        )
        if args.run and table.prompts < args.prompts:
            fill(wanted, table, args.prompts)


if __name__ == "__main__":
    main()
