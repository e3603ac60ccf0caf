"""The miniature's trade-off: speedup and score loss of settings, with 95% intervals.

    python -m bench.quality.tradeoff [--prompts 512] [--sched DDIM] [--steps 20] [--only deepcache]

Speedups are medians of paired latency ratios at batch 4, accelerated and baseline interleaved;
losses are over the prompts of the truth pool. Measurements are saved in `--work`, so that an
interrupted run can continue; two processes can share the work (`--part 1/2`, `--part 2/2`).
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

from bench.lib.miniature import conditions, evaluation_of, quiet
from tuner.measure.evaluation import Measurement
from tuner.setting import Params, Setting

LIMIT = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--sched", default="DDIM")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--only", help="one combination, such as deepcache or deepcache+tgate")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--work", type=Path, default=Path("build/tradeoff"))
    args = parser.parse_args()
    quiet()
    evaluation = evaluation_of(
        "truth",
        args.prompts,
        scheduler=args.sched,
        steps=args.steps,
        batch_size=args.batch_size,
        timing_pairs=args.pairs,
    )
    folder = args.work / f"{args.sched}-{args.steps}-{args.prompts}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [setting for setting in settings() if args.only in (None, setting.combination)]
    store = FileStore(folder)
    evaluation.baseline(store)
    part, parts = (int(number) for number in args.part.split("/"))
    for setting in wanted[part - 1 :: parts]:
        file = folder / f"{str(setting).replace('/', '_').replace(' ', '')}.json"
        if not file.exists():
            *_, last = evaluation.measure(setting, store)
            file.write_text(json.dumps(contents(setting, last, conditions())))
    rows = [json.loads(file.read_text()) for file in folder.glob("*_*.json")]
    print_table(rows, args)


def settings() -> list[Setting]:
    """16 settings of DeepCache, and mild to aggressive ones of the others and of combinations."""
    deepcache: list[Params] = [
        {"deepcache": {"cache_interval": n, "cache_branch_id": b}}
        for n, b in product((2, 3, 4, 5), (0, 1, 2, 3))
    ]
    tome: list[Params] = [
        {"tome": {"ratio": r, "max_downsample": d}}
        for r, d in ((0.1, 1), (0.3, 1), (0.5, 1), (0.75, 1), (0.5, 2), (0.75, 2), (0.75, 4))
    ]
    tgate: list[Params] = [
        {"tgate": {"gate_step": g, "sp_interval": s, "fi_interval": f, "warmup": w}}
        for g, s, f, w in ((5, 9, 5, 1), (10, 5, 1, 2), (12, 3, 2, 2), (19, 9, 5, 1), (15, 2, 1, 3))
    ]
    together: list[Params] = [
        {**deepcache[0], **tgate[4]},
        {**deepcache[3], **tgate[0]},
        {**deepcache[4], **tgate[0]},
        {**deepcache[0], **tome[0]},
        {**tome[0], **tgate[4]},
        {**deepcache[0], **tome[0], **tgate[4]},
        {**deepcache[1], **tgate[0]},
        {**deepcache[5], **tgate[0]},
    ]
    return [Setting.of(params) for params in (*deepcache, *tome, *tgate, *together)]


class FileStore:
    """Stores baselines as files in a folder, without a database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The stored payload, or None."""
        file = self.folder / f"baseline-{kind}-{key}.json"
        payload: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
        return payload

    def put(self, kind: str, key: str, parts: dict[str, Any], payload: dict[str, Any]) -> None:
        """Store a baseline."""
        (self.folder / f"baseline-{kind}-{key}.json").write_text(json.dumps(payload))


def contents(setting: Setting, measured: Measurement, about: str) -> dict[str, Any]:
    """The contents of a setting's file."""
    return {
        "setting": str(setting),
        "combination": setting.combination,
        "speedup": [measured.speedup.value, measured.speedup.low, measured.speedup.high],
        "loss": [measured.score_loss.value, measured.score_loss.low, measured.score_loss.high],
        "scores": [round(score, 3) for score in measured.scores],
        "conditions": about,
    }


def print_table(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Print the table, the fastest setting last, and a summary of what is feasible."""
    rows.sort(
        key=lambda row: (row["combination"].count("+"), row["combination"], row["speedup"][0])
    )
    print(f"{rows[0]['conditions'] if rows else ''}")
    print(f"{args.sched}, {args.steps} steps, {args.prompts} prompts, batch {args.batch_size}\n")
    print("| setting | speedup (95%) | score loss (95%) | at 2% |\n|---|---|---|---|")
    for row in rows:
        (fast, fast_low, fast_high), (loss, low, high) = row["speedup"], row["loss"]
        verdict = "feasible" if high < LIMIT else "infeasible" if low > LIMIT else "unsure"
        print(
            f"| {row['setting']} | {fast:.2f}× ({fast_low:.2f} … {fast_high:.2f}) "
            f"| {loss:.2%} ({low:.2%} … {high:.2%}) | {verdict} |"
        )
    deepcache = [row for row in rows if row["combination"] == "deepcache"]
    if deepcache:
        print(f"\nDeepCache's least loss, upper end: {min(r['loss'][2] for r in deepcache):.2%}")
        print(f"DeepCache's greatest loss, lower end: {max(r['loss'][1] for r in deepcache):.2%}")
    for name in ("deepcache", "tome", "tgate"):
        over = sum(row["loss"][1] > LIMIT for row in rows if row["combination"] == name)
        print(f"{name} settings certainly infeasible: {over}")
    sure = [row["speedup"][1] for row in rows if row["loss"][2] < LIMIT]
    if sure:
        print(f"greatest speedup of a certainly feasible setting, lower end: {max(sure):.2f}×")


if __name__ == "__main__":
    main()
