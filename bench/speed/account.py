"""Where the time of a search goes: seconds and pictures of real studies, by purpose.

    python -m bench.speed.account [--pipe miniature,SD1.5,SDXL] [--trials 30] [--limit-s SECONDS]

Each row is a run of `tuner run` with its default flags, from an empty database to the verified
winner: 32 prompts, and the miniature on the CPU, Stable Diffusion on a GPU in half precision. B is
the time of the baseline for the prompts of a trial. `outside` is the share of the time after
loading that passed outside the pipeline (scoring and the rest); the GPU's utilisation is a mean
from the first batch of the baseline on.

Stable Diffusion has its full size and random weights, saved to a temporary folder and loaded from
it as `--model FOLDER` is. So has the scorer, whose weights are drawn on the GPU (loading them from
a file would take longer). Its scores are raised by a constant, to be positive, and hardly depend on
the pictures: hardly any setting breaks the limit, and the search goes to the fastest settings.

`--limit-s` is the time for searching in each run; loading, the baseline, the last trial and the
verification come on top. By default the miniature's search is not limited, and those on a GPU are
limited so that `--pipe SD1.5,SDXL` should take less than six minutes on an H100 (estimated, not
measured); SDXL's baseline and verification take two of them. `--small` runs everything on the CPU
with narrow networks, few steps and few prompts, one run of each pipeline: a check that the
command works, whose figures mean nothing.
"""

import argparse
import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.lib.full_size import build
from bench.lib.miniature import captions, conditions, quiet
from bench.lib.random_clip import random_clip
from bench.lib.utilisation import Utilisation
from tuner.cli.quiet import quiet_models
from tuner.loading import device_named
from tuner.measure.account import Purpose
from tuner.measure.device import describe
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.spec import StudySpec
from tuner.study.costs import SCORED, StudyCosts, read_costs
from tuner.study.results import read_results

SMALL_SIZES = {"steps": 4, "num_samples": 2, "batch_size": 1, "max_samples": 2}
SMALL_SIDE = 64  # pixels
NARROW = 10
SMALL_SCORER = "ViT-S-32-alt"
NEEDS_GPU = "needs a GPU and is left out (--small runs it with narrow networks on the CPU)"
TITLES = (
    "run",
    "wall s",
    "in B",
    "pictures generated",
    "of these scored (share after the baseline)",
    "timing only",
    *(f"{purpose.value}, s" for purpose in Purpose),
    "outside",
    "unsteady",
    "GPU",
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the table."""

    pipe: str
    steps: int
    batch_size: int
    limit_s: float | None  # of the search


RUNS = (
    Run(pipe="miniature", steps=20, batch_size=4, limit_s=None),
    Run(pipe="SD1.5", steps=20, batch_size=8, limit_s=40),
    Run(pipe="SD1.5", steps=50, batch_size=8, limit_s=40),
    Run(pipe="SDXL", steps=25, batch_size=4, limit_s=30),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a run cost."""

    title: str
    wall_s: float
    costs: StudyCosts
    complete: int  # trials
    unsteady: int  # of these
    utilisation: float | None  # of the GPU, between 0 and 1

    def __str__(self) -> str:
        costs, total = self.costs, self.costs.total
        pictures = total.pictures
        scored = sum(pictures.get(purpose, 0) for purpose in (Purpose.BASELINE, *SCORED))
        in_b = None if costs.baseline_s is None else self.wall_s / costs.baseline_s
        cells = (
            self.title,
            f"{self.wall_s:.0f}",
            "-" if in_b is None else f"{in_b:.1f} (B is {costs.baseline_s:.1f} s)",
            str(sum(pictures.values())),
            f"{scored} ({_per_cent(costs.scored_share)})",
            str(pictures.get(Purpose.TIMING, 0)),
            *(f"{total.seconds.get(purpose, 0.0):.1f}" for purpose in Purpose),
            _per_cent(costs.outside_share),
            f"{self.unsteady} of {self.complete}",
            _per_cent(self.utilisation),
        )
        return f"| {' | '.join(cells)} |"


class Notices(Observer):
    """Prints the notices of a run as errors are printed: not into the table.

    The utilisation is counted from the baseline's first batch on, without the loading.
    """

    def __init__(self, utilisation: Utilisation) -> None:
        self._utilisation = utilisation

    def notice(self, line: str) -> None:
        """Print the line."""
        print(line, file=sys.stderr, flush=True)

    def baseline_progress(self, done: int, batches: int) -> None:
        """Restart the utilisation after the first batch."""
        if done == 1:
            self._utilisation.restart()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="miniature,SD1.5,SDXL")
    parser.add_argument("--trials", type=int, default=30, help="of each study, at most")
    parser.add_argument("--limit-s", type=float, help="seconds of searching in each run")
    parser.add_argument("--small", action="store_true", help="narrow networks on the CPU")
    args = parser.parse_args(arguments)
    quiet()
    quiet_models()
    gpu = torch.cuda.is_available() and not args.small
    device = device_named("cuda" if gpu else "cpu")
    print(f"{describe(device)}, {conditions()}\n")
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}", flush=True)
    left_out = []
    for pipe in args.pipe.split(","):
        runs = [run for run in RUNS if run.pipe == pipe]
        if not runs:
            parser.error(f"unknown --pipe {pipe!r}")
        if pipe != "miniature" and not gpu and not args.small:
            left_out.append(pipe)
            continue
        for row in rows(runs, "cpu" if pipe == "miniature" else device, args):
            print(row, flush=True)
    for pipe in left_out:
        print(f"\n{pipe} {NEEDS_GPU}")


def rows(runs: list[Run], device: str, args: argparse.Namespace) -> Iterator[Row]:
    """The rows of one pipeline, which is saved once."""
    with tempfile.TemporaryDirectory() as name:
        folder, miniature = Path(name), runs[0].pipe == "miniature"
        if not miniature:
            save(runs[0].pipe, folder / "weights", device, NARROW if args.small else 1)
            (folder / "prompts.txt").write_text("\n".join(prompts()))
        network = SMALL_SCORER if args.small else None
        with nullcontext() if miniature else random_clip(device, network):
            for run in runs[:1] if args.small else runs:
                with database(folder) as storage:
                    yield row_of(spec_of(run, device, folder, storage, args))


def save(family: str, folder: Path, device: str, narrow: int) -> None:
    """Save a pipeline with random weights, and leave nothing of it in memory."""
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    build(family, dtype=dtype, device=device, narrow=narrow).save_pretrained(folder)
    free()


def prompts() -> list[str]:
    """As many captions as a study may use, those for searching and for verifying in turn."""
    pools = (captions(pool, 128)[:128] for pool in ("search", "verify"))
    return [caption for pair in zip(*pools, strict=True) for caption in pair]


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """The address of an empty database."""
    place = folder / "database"
    place.mkdir()
    try:
        yield f"sqlite:///{place / 'tuner.db'}"
    finally:
        shutil.rmtree(place)


def spec_of(
    run: Run, device: str, folder: Path, storage: str, args: argparse.Namespace
) -> StudySpec:
    """The study of a run; `folder` has the weights and the prompts where it is not the miniature's.

    Everything that is not named has its default.
    """
    miniature = run.pipe == "miniature"
    sizes: dict[str, Any] = {"steps": run.steps, "batch_size": run.batch_size}
    if args.small:
        sizes |= SMALL_SIZES
    return StudySpec(
        pipe=run.pipe,
        **sizes,
        trials=args.trials,
        timeout=run.limit_s if args.limit_s is None else args.limit_s,
        device=device,
        storage=storage,
        model=None if miniature else str(folder / "weights"),
        prompts=None if miniature else str(folder / "prompts.txt"),
        resolution=SMALL_SIDE if args.small and not miniature else None,
        targets_are_defaults=True,
        reference=False,
    )


def row_of(spec: StudySpec) -> Row:
    """Run a study, loading everything anew, and read what it cost."""
    with Utilisation(spec.device or "cpu") as utilisation:
        start = time.perf_counter()
        study = Session().run(spec, Notices(utilisation)).study
        wall_s = time.perf_counter() - start
    results = read_results(study)
    costs = read_costs(study)
    del study  # its sampler has the pipeline
    free()
    return Row(
        title=f"{spec.pipe}, {spec.sched}-{spec.steps}, batch {spec.batch_size}",
        wall_s=wall_s,
        costs=costs,
        complete=len(results),
        unsteady=sum(result.unsteady is not None for result in results),
        utilisation=utilisation.mean,
    )


def free() -> None:
    """Return the memory of what is no longer used."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


if __name__ == "__main__":
    main()
