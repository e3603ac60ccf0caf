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
import time
from typing import Any

import numpy as np

from bench._miniature import MODEL, evaluation_of, pipeline, quiet
from bench._shared import Trail, keys_of, shared, start_of
from bench.latency import Sums
from bench.tables import PRODUCTS, PROMPTS, Product, Table, read, write
from tuner.accelerators._plan import Shape, plan_of, shape_of
from tuner.measure.pictures import checked
from tuner.setting import Setting, identity

BATCH = 32
SAVE_S = 60  # between two writings of a table
A_SECOND = 5  # pictures of the baseline


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
    sums = Sums(shape, wanted.steps)
    total = 0.0
    for start in range(0, prompts, BATCH):
        trail: list[Any] = []
        for setting, scores in zip(table.settings, table.scores, strict=True):
            if np.isnan(scores[start]):
                plan = plan_of(setting.accelerators, shape, wanted.steps)
                keys = keys_of(setting, plan)
                total += sum(sums.steps(setting)[start_of(plan, keys, trail) :]) + sums.rest
                trail = keys
    return total * BATCH


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
            f"{images / A_SECOND / 3600:.1f} hours at {A_SECOND} a second",
            flush=True,
        )
        if args.run and table.prompts < args.prompts:
            fill(wanted, table, args.prompts)


if __name__ == "__main__":
    main()
