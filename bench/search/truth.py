"""Truth tables: complete products of knob values on the miniature, scored on many prompts.

    python -m bench.search.truth          # print the state of each table and the work that is left
    python -m bench.search.truth --run    # continue every unfinished table, one after the other
    python -m bench.search.truth --run --only tgate --scheduler DDIM --prompts 32
    python -m bench.search.truth --run --only tgate --steps 25 --device cuda --prompts 512
                                 --part 2/6
    python -m bench.search.truth --join --only tgate --steps 25

Each table is a file under `bench/data/truth/`: a row for each distinct computation of a product,
with its score on each of the first prompts of the truth pool. Tables are filled batch by batch and
saved every few settings, so that an interrupted run can continue. Equal first steps are computed
once (`bench.lib.shared_steps`). On a CPU, the baseline and all settings are generated under
bfloat16 autocast, which is 1.5 times as fast where the CPU has bfloat16. On a GPU, products are in
TF32; several processes can share a table, each with a part of its settings and a file of its own.
Latencies are measured by `bench.search.latency`.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.lib.miniature import MODEL, evaluation_of, pipeline, quiet
from bench.lib.shared_steps import Trail, keys_of, shared, start_of
from bench.lib.step_latencies import LatencySums
from bench.lib.tables import PRODUCTS, PROMPTS, Product, Table, read, write
from tuner.canonical import computation_of
from tuner.measure.pictures import checked
from tuner.plans.plan import Shape, plan_of, shape_of
from tuner.setting import Setting

SAVE_S = 20  # between two saves of a table
PICTURES_PER_S = 5  # of the baseline, on a CPU


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The device and numerical precision of a table; all of a table is made with the same."""

    device: str
    batch: int
    autocast: bool

    @classmethod
    def of(cls, device: str, batch: int | None = None) -> "Precision":
        """On a CPU with autocast; on a GPU without, and in larger batches."""
        host = device == "cpu"
        return cls(device=device, batch=batch or (32 if host else 128), autocast=host)

    @property
    def about(self) -> dict[str, str]:
        """What is stored in the table about it."""
        if self.autocast:
            return {"autocast": "bfloat16"}
        kind = self.device.split(":")[0]
        return {"device_type": kind, "dtype": "float32" if kind == "cpu" else "tensorfloat32"}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use this precision for the length of a ``with`` block."""
        import torch

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            yield


class OtherPrecisionError(Exception):
    """A table was begun on another device or in another precision."""


def open_table(
    product: Product, shape: Shape, precision: Precision, prompts: int = PROMPTS
) -> Table:
    """The table on disk, or an empty one; with room for at least `prompts` prompts."""
    settings = product.settings(shape)
    table = Table(
        settings=settings,
        scores=np.full((len(settings), prompts), np.nan, dtype=np.float32),
        baseline=np.full(prompts, np.nan, dtype=np.float32),
        about={
            "prompts": "truth pool",
            "guidance_scale": MODEL.guidance_scale,
            "seed": 42,
            **precision.about,
        },
    )
    if product.file.exists():
        copy_scores(product.file, table, shape, product.steps)
    return table


def copy_scores(file: Path, table: Table, shape: Shape, steps: int) -> None:
    """Copy the scores of a file's settings into a table."""
    stored = read(file)
    if stored.about != table.about:
        raise OtherPrecisionError(
            f"{file.name} was made with {stored.about}, not {table.about}: left unchanged"
        )
    more = max(0, stored.scores.shape[1] - table.scores.shape[1])
    table.scores = np.pad(table.scores, ((0, 0), (0, more)), constant_values=np.nan)
    table.baseline = np.pad(table.baseline, (0, more), constant_values=np.nan)
    count = len(stored.baseline)
    rows = {
        computation_of(setting, shape, steps): row for row, setting in enumerate(stored.settings)
    }
    for row, setting in enumerate(table.settings):
        known = rows.get(computation_of(setting, shape, steps))
        if known is not None:
            table.scores[row, :count] = stored.scores[known]
    table.baseline[:count] = stored.baseline


def join(product: Product, shape: Shape, precision: Precision, prompts: int) -> None:
    """Join the existing parts of a table in one file."""
    table = open_table(product, shape, precision, prompts)
    for file in sorted(product.file.parent.glob(f"{product.file.stem}.part*of*.npz")):
        before = table.baseline.copy()
        copy_scores(file, table, shape, product.steps)
        difference = np.nanmax(np.abs(np.append(before - table.baseline[: len(before)], 0)))
        if difference > 0.05:
            print(f"{file.name}: its baseline differs by up to {difference:.2f} points")
    write(table, product.file)
    print(f"{product.file.stem}: {len(table.settings)} settings, {table.prompts} prompts")


def fill(product: Product, table: Table, prompts: int, precision: Precision) -> None:
    """Generate missing scores: a batch of prompts for all settings, then the next batch."""
    evaluation = evaluation_of(
        "truth",
        len(table.baseline),
        scheduler=product.scheduler,
        steps=product.steps,
        device=precision.device,
        batch_size=precision.batch,
    )
    pipe = evaluation.pipeline
    shape = shape_of(pipe, MODEL.resolution)
    rows = [(Setting(), table.baseline), *zip(table.settings, table.scores, strict=True)]
    saved = begin = time.monotonic()
    done = 0
    for numbers in evaluation.batches()[: prompts // precision.batch]:
        trail = Trail()
        missing = [row for row in rows if np.isnan(row[1][numbers.start])]
        for nth, (setting, scores) in enumerate(missing, 1):
            with (
                shared(pipe, setting, shape, product.steps, trail, seed=evaluation.seed) as call,
                precision.applied(),
            ):
                output, _ = evaluation.generate(call, numbers)
            texts = evaluation.texts(numbers)
            scores[numbers.start : numbers.stop] = evaluation.metric.score(checked(output), texts)
            done += 1
            if time.monotonic() - saved > SAVE_S:
                write(table, product.file)
                saved = time.monotonic()
                rate = (saved - begin) / done
                print(f"{product.file.stem}: {numbers}, {nth} of {len(missing)}, {rate:.1f} s each")
    write(table, product.file)


def work(table: Table, product: Product, shape: Shape, prompts: int, batch: int) -> float:
    """The work of the missing scores, in pictures of the baseline that take as long."""
    latencies = LatencySums(shape, product.steps)
    total = 0.0
    for start in range(0, prompts, batch):
        trail: list[Any] = []
        for setting, scores in zip(table.settings, table.scores, strict=True):
            if np.isnan(scores[start]):
                plan = plan_of(setting.accelerators, shape, product.steps)
                keys = keys_of(setting, plan)
                total += (
                    sum(latencies.steps(setting)[start_of(plan, keys, trail) :]) + latencies.rest
                )
                trail = keys
    return total * batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--only", help="the tables of this name")
    parser.add_argument("--scheduler", help="the tables for this scheduler")
    parser.add_argument(
        "--prompts",
        type=int,
        default=PROMPTS,
        help="prompts of every setting; a multiple of --batch",
    )
    parser.add_argument("--batch", type=int, help="prompts a batch (default: 32; on a GPU 128)")
    parser.add_argument("--steps", type=int, help="the tables for this number of steps")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", help="2/6 is the second sixth of each table's settings")
    parser.add_argument("--join", action="store_true", help="join the parts of a table in one file")
    args = parser.parse_args()
    quiet()
    precision = Precision.of(args.device, args.batch)
    part = None
    if args.part is not None:
        number, of = args.part.split("/")
        part = (int(number), int(of))
    for whole in PRODUCTS:
        filters = (
            (args.only, whole.name),
            (args.scheduler, whole.scheduler),
            (args.steps, whole.steps),
        )
        if any(requested not in (None, value) for requested, value in filters):
            continue
        product = replace(whole, part=part)
        shape = shape_of(pipeline(product.scheduler), MODEL.resolution)
        if args.join:
            join(product, shape, precision, args.prompts)
            continue
        try:
            table = open_table(product, shape, precision, args.prompts)
        except OtherPrecisionError as error:
            print(error)
            continue
        images = work(table, product, shape, args.prompts, precision.batch)
        print(
            f"{product.file.stem}: {len(table.settings)} settings, {table.prompts} prompts done; "
            f"the rest takes as long as {images:,.0f} pictures of the baseline, "
            f"{images / PICTURES_PER_S / 3600:.1f} hours at {PICTURES_PER_S} a second",
            flush=True,
        )
        if args.run and table.prompts < args.prompts:
            fill(product, table, args.prompts, precision)


if __name__ == "__main__":
    main()
