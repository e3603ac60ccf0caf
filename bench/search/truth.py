"""Truth tables: complete products of knob values on the miniature, scored on many prompts.

    python -m bench.search.truth          # prints what there is, and how long the rest will take
    python -m bench.search.truth --run    # continues the first table that is not finished
    python -m bench.search.truth --run --only tgate --scheduler DDIM --prompts 32
    python -m bench.search.truth --run --only tgate --steps 25 --device cuda --prompts 512
                                 --part 2/6
    python -m bench.search.truth --join --only tgate --steps 25

Each table is one file under `bench/data/truth/`: a product over some knobs with one row for each
distinct computation, and the score of each of the first prompts of the truth pool, batch by batch.
It is written after every few settings and read at the start, so that a run that ends goes on where
it was. Equal first steps are computed once (`bench.lib.shared_steps`). On a CPU, baseline and
settings alike are generated under bfloat16 autocast, which is half as fast again where the CPU has
it; on a GPU with TF32's products, all prompts in one batch, and several processes share a table,
each with a part of its settings in a file of its own. Latencies have a command of their own,
`bench.search.latency`.
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
from bench.lib.step_latencies import Sums
from bench.lib.tables import PRODUCTS, PROMPTS, Product, Table, read, write
from tuner.canonical import computation_of
from tuner.measure.pictures import checked
from tuner.plans.plan import Shape, plan_of, shape_of
from tuner.setting import Setting

SAVE_S = 20  # between two writings of a table
A_SECOND = 5  # pictures of the baseline, on a CPU


@dataclass(frozen=True, kw_only=True)
class Where:
    """On what, and how precisely, a table is made: one table is never made in two ways."""

    device: str
    batch: int
    autocast: bool

    @classmethod
    def of(cls, device: str, prompts: int) -> "Where":
        """A CPU under autocast, a GPU without and with all prompts at once."""
        host = device == "cpu"
        return cls(device=device, batch=32 if host else prompts, autocast=host)

    @property
    def about(self) -> dict[str, str]:
        """What a table says of it."""
        if self.autocast:
            return {"autocast": "bfloat16"}
        kind = self.device.split(":")[0]
        return {"device_type": kind, "dtype": "float32" if kind == "cpu" else "tensorfloat32"}

    @contextmanager
    def precisely(self) -> Iterator[None]:
        """For the length of a ``with`` block."""
        import torch

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            yield


class OtherwiseError(Exception):
    """A table was begun in another way: on another device, or in another precision."""


def begun(wanted: Product, shape: Shape, where: Where, prompts: int = PROMPTS) -> Table:
    """The table as it is on disk, or an empty one, with room for so many prompts at least."""
    settings = wanted.settings(shape)
    table = Table(
        settings=settings,
        scores=np.full((len(settings), prompts), np.nan, dtype=np.float32),
        baseline=np.full(prompts, np.nan, dtype=np.float32),
        about={
            "prompts": "truth pool",
            "guidance_scale": MODEL.guidance_scale,
            "seed": 42,
            **where.about,
        },
    )
    if wanted.file.exists():
        take_over(wanted.file, table, shape, wanted.steps)
    return table


def take_over(file: Path, table: Table, shape: Shape, steps: int) -> None:
    """The scores of the settings that a file knows."""
    kept = read(file)
    if kept.about != table.about:
        raise OtherwiseError(f"{file.name} is of {kept.about}, not {table.about}: left unchanged")
    more = max(0, kept.scores.shape[1] - table.scores.shape[1])
    table.scores = np.pad(table.scores, ((0, 0), (0, more)), constant_values=np.nan)
    table.baseline = np.pad(table.baseline, (0, more), constant_values=np.nan)
    count = len(kept.baseline)
    rows = {computation_of(one, shape, steps): row for row, one in enumerate(kept.settings)}
    for row, setting in enumerate(table.settings):
        known = rows.get(computation_of(setting, shape, steps))
        if known is not None:
            table.scores[row, :count] = kept.scores[known]
    table.baseline[:count] = kept.baseline


def join(wanted: Product, shape: Shape, where: Where, prompts: int) -> None:
    """Put the parts of a table that are there into one file."""
    table = begun(wanted, shape, where, prompts)
    for file in sorted(wanted.file.parent.glob(f"{wanted.file.stem}.part*of*.npz")):
        before = table.baseline.copy()
        take_over(file, table, shape, wanted.steps)
        apart = np.nanmax(np.abs(np.append(before - table.baseline[: len(before)], 0)))
        if apart > 0.05:
            print(f"{file.name}: a baseline of its own, by up to {apart:.2f} points")
    write(table, wanted.file)
    print(f"{wanted.file.stem}: {len(table.settings)} settings, {table.prompts} prompts")


def fill(wanted: Product, table: Table, prompts: int, where: Where) -> None:
    """Generate what is missing, one batch of prompts after the other for all settings."""
    evaluation = evaluation_of(
        "truth",
        len(table.baseline),
        scheduler=wanted.scheduler,
        steps=wanted.steps,
        device=where.device,
        batch_size=where.batch,
    )
    pipe = evaluation.pipeline
    shape = shape_of(pipe, MODEL.resolution)
    rows = [(Setting(), table.baseline), *zip(table.settings, table.scores, strict=True)]
    saved = begin = time.monotonic()
    done = 0
    for numbers in evaluation.batches()[: prompts // where.batch]:
        trail = Trail()
        missing = [row for row in rows if np.isnan(row[1][numbers.start])]
        for nth, (setting, scores) in enumerate(missing, 1):
            with (
                shared(pipe, setting, shape, wanted.steps, trail, seed=evaluation.seed) as call,
                where.precisely(),
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


def work(table: Table, wanted: Product, shape: Shape, prompts: int, batch: int) -> float:
    """Generations of the baseline, in images, that the missing scores are worth."""
    sums = Sums(shape, wanted.steps)
    total = 0.0
    for start in range(0, prompts, batch):
        trail: list[Any] = []
        for setting, scores in zip(table.settings, table.scores, strict=True):
            if np.isnan(scores[start]):
                plan = plan_of(setting.accelerators, shape, wanted.steps)
                keys = keys_of(setting, plan)
                total += sum(sums.steps(setting)[start_of(plan, keys, trail) :]) + sums.rest
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
        help="of every setting; a multiple of 32 on a CPU",
    )
    parser.add_argument("--steps", type=int, help="the tables for this number of steps")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", help="2/6 is the second sixth of each table's settings")
    parser.add_argument("--join", action="store_true", help="make one file of a table's parts")
    args = parser.parse_args()
    quiet()
    where = Where.of(args.device, args.prompts)
    part = None
    if args.part is not None:
        number, of = args.part.split("/")
        part = (int(number), int(of))
    for one in PRODUCTS:
        asked = ((args.only, one.name), (args.scheduler, one.scheduler), (args.steps, one.steps))
        if any(wish not in (None, has) for wish, has in asked):
            continue
        wanted = replace(one, part=part)
        shape = shape_of(pipeline(wanted.scheduler), MODEL.resolution)
        if args.join:
            join(wanted, shape, where, args.prompts)
            continue
        try:
            table = begun(wanted, shape, where, args.prompts)
        except OtherwiseError as error:
            print(error)
            continue
        images = work(table, wanted, shape, args.prompts, where.batch)
        print(
            f"{wanted.file.stem}: {len(table.settings)} settings, {table.prompts} prompts done; "
            f"the rest is worth {images:,.0f} pictures of the baseline, "
            f"{images / A_SECOND / 3600:.1f} hours at {A_SECOND} a second",
            flush=True,
        )
        if args.run and table.prompts < args.prompts:
            fill(wanted, table, args.prompts, where)


if __name__ == "__main__":
    main()
