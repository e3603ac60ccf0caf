"""How long `tuner report` takes, and how large its page is.

    python -m bench.speed.report [--trials 100] [--studies 27]

The studies are simulated searches on a truth table (`bench/lib/table_search.py`), which the tuner's
own runner records in a database: trials with their scores and intervals, a verified winner, and
the costs. Three are searched, which takes most of this command's time; those beyond are copies of
them under other names. Each setting of the front has a contact sheet of 818 x 974 pixels, which is
the size of a search's, with as much detail as photographs have. The command is run as people run
it, in a process of its own, for one study and for all of them: with the page alone, and with the
tables and figures beside it. On a machine that is busy with other work the CPU time is the one to
look at.
"""

import argparse
import io
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from PIL import Image

from bench.lib.miniature import quiet
from bench.lib.table_costs import BATCH, PROMPTS
from bench.lib.table_search import LIMITS, TableSearch
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TruthTable
from tuner.measure.account import Account
from tuner.storage.artifacts import create_artifact_store
from tuner.storage.database import Storage
from tuner.study.baseline import set_baseline
from tuner.study.best import pareto_front
from tuner.study.recording import store_cost
from tuner.study.results import read_results
from tuner.study.sheets import put_sheet

TABLE = next(product for product in PRODUCTS if product.file.stem == "deepcache-tome-DDIM-20")
TARGETS = ["deepcache", "tome"]
SEARCHED = 3  # studies
IMAGE_S = 1.0  # of the baseline, as in the simulated measurements
SHEET = (818, 974)  # pixels
NAMES = (
    f"{pipe}/{sched}/{steps}"
    for pipe in ("SD1.5", "SD2.1", "SDXL")
    for sched in ("DDIM", "DPM-Solver++", "UniPC")
    for steps in (20, 25, 50)
)


def search(storage: Storage, truth: TruthTable, name: str, trials: int, seed: int) -> None:
    """Add a study of this many trials, with its baseline, verification, costs and sheets.

    It is searched in memory: a database on a busy disk would take minutes.
    """
    memory = optuna.storages.InMemoryStorage()
    sampler = optuna.samplers.TPESampler(seed=seed)
    searched = optuna.create_study(
        storage=memory, study_name=name, directions=["maximize", "minimize"], sampler=sampler
    )
    for attribute, value in _attributes(name).items():
        searched.set_user_attr(attribute, value)
    set_baseline(searched, {"latency_s": IMAGE_S, "score": 30.0, "num_samples": PROMPTS})
    simulated = TableSearch(truth, seed)
    simulated.run(searched, trials, first=(), whole=True)
    simulated.verified()
    store_cost(searched, "simulated", _in_seconds(simulated.costs.account))
    optuna.copy_study(from_study_name=name, from_storage=memory, to_storage=storage.optuna)
    study = storage.study(name)
    folder = Path(storage.url.removeprefix("sqlite:///")).parent
    store = create_artifact_store(study, folder / "artifacts")
    for result in pareto_front(read_results(study), LIMITS):
        put_sheet(study, store, result.trial, sheet(result.trial))


def _in_seconds(account: Account) -> Account:
    """A simulated account, whose unit is the baseline of the prompts of one trial."""
    unit_s = PROMPTS * IMAGE_S
    seconds = {purpose: unit_s * spent for purpose, spent in account.seconds.items()}
    return Account(seconds=seconds, pictures=account.pictures)


def _attributes(name: str) -> dict[str, Any]:
    pipe, sched, steps = name.split("/")
    study = {"pipe": pipe, "sched": sched, "steps": int(steps), "search_targets": TARGETS}
    goal: dict[str, Any] = {
        "req_score_loss": LIMIT,
        "req_speedup": None,
        "req_time": None,
        "limits": {},
    }
    return {
        "request": study | goal,
        "evaluation": {"device": "simulated", "batch": BATCH},
        "pipeline": "StableDiffusionPipeline",
        "versions": {"torch": "2.15.0", "diffusers": "0.42.1"},
    }


def sheet(seed: int) -> bytes:
    """A picture with detail at every scale, as photographs have it."""
    random = np.random.default_rng(seed)
    picture = np.zeros((SHEET[1], SHEET[0], 3))
    for octave in range(1, 9):
        coarse = random.normal(size=(2**octave, 2**octave, 3), scale=0.8**octave)
        planes = [Image.fromarray(coarse[..., c].astype(np.float32)) for c in range(3)]
        picture += np.dstack([np.asarray(plane.resize(SHEET)) for plane in planes])
    grey = 255 * (picture - picture.min()) / (picture.max() - picture.min())
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def report(folder: Path, names: Sequence[str], *beside: str) -> tuple[float, float, float]:
    """Run the command; returns its seconds, those of CPU time, and the size of the page in MB."""
    command = [sys.executable, "-c", "from tuner.cli.main import main; raise SystemExit(main())"]
    arguments = ["report", *names, "-o", "page.html", "--storage", "tuner.db", *beside]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu_s, (folder / "page.html").stat().st_size / 1e6


def fill(storage: Storage, studies: int, trials: int) -> None:
    """Add studies: searches first, then copies of them."""
    truth = TruthTable.of(TABLE)
    names = list(islice(NAMES, studies))
    for seed, name in enumerate(names[:SEARCHED]):
        search(storage, truth, name, trials, seed)
    for number, name in enumerate(names[SEARCHED:]):
        optuna.copy_study(
            from_study_name=names[number % SEARCHED],
            from_storage=storage.optuna,
            to_storage=storage.optuna,
            to_study_name=name,
        )


def main() -> None:
    """Build the studies, and time the command for one and for all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="of each study (default: 100)")
    parser.add_argument(
        "--studies", type=int, default=27, help="of the sweep, at most 27 (default)"
    )
    args = parser.parse_args()
    quiet()
    print("| studies | trials each | files | s | CPU, s | page, MB |\n|---|---|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = Path(name)
        storage = Storage(f"sqlite:///{folder / 'tuner.db'}")
        fill(storage, args.studies, args.trials)
        for names in ([storage.study_names()[0]], storage.study_names()):
            for files, beside in (
                ("page", ()),
                ("page, tables, figures", ("--csv", "tables", "--figures", "figures")),
            ):
                seconds, cpu_s, size = report(folder, names, *beside)
                row = f"{len(names)} | {args.trials} | {files} | {seconds:.1f} | {cpu_s:.1f}"
                print(f"| {row} | {size:.2f} |", flush=True)


if __name__ == "__main__":
    main()
