"""How long the miniature's baseline takes: 32 prompts at 20 steps, generated, checked and scored.

    python -m bench.speed.baseline [--repeat 3]

The time includes the warm-up, and excludes loading.
"""

import argparse
import time

from bench.lib.miniature import conditions, evaluation_of, quiet


class EmptyStore:
    """Stores nothing, so that every baseline is measured."""

    def get(self, kind: str, key: str) -> None:
        """Nothing is stored."""

    def put(self, kind: str, key: str, parts: object, payload: object) -> None:
        """Store nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    quiet()
    evaluation = evaluation_of("search", 32)
    print(conditions())
    for _ in range(args.repeat):
        start = time.perf_counter()
        scores, latency = evaluation.baseline(EmptyStore())
        seconds = time.perf_counter() - start
        mean = sum(scores.scores) / len(scores.scores)
        print(
            f"32 prompts in {seconds:.1f} s; {latency.latency_s:.3f} s per image, score {mean:.2f}"
        )


if __name__ == "__main__":
    main()
