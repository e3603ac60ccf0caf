"""COCO 2017: the first caption of each entry of the validation split, through `datasets`."""

from typing import ClassVar

from tuner.errors import UsageError
from tuner.prompts import enough

SOURCE = "phiyodr/coco2017"
POOLS = {"search": 0, "verify": 2500}  # the index of each pool's first caption, of 5,000


class Coco:
    """The captions alone: the split is streamed, so pictures and training data are not read."""

    name: ClassVar[str] = "coco"
    repository: ClassVar[str] = SOURCE  # on the hub, read in every run

    def load(
        self, count: int, pool: str = "search", most: int | None = None, source: str = SOURCE
    ) -> list[str]:
        """At least `count` and up to `most` captions of the pool, in the data set's order.

        `source` is a hub id or a folder; the rest as in `PromptSet.load`.
        """
        from datasets import load_dataset

        start = POOLS.get(pool, 0)
        wanted = max(count, min(most or 0, POOLS["verify"]))  # no more, or the pools would overlap
        try:
            split = load_dataset(source, split="validation", streaming=True)
            rows = split.select_columns(["captions"]).skip(start).take(wanted)
            captions = [row["captions"][0] for row in rows]
        except Exception as error:  # datasets raises many kinds of errors for an unreachable hub
            reason = str(error).strip().splitlines()[0] or type(error).__name__
            raise UsageError(
                f"cannot read the captions of {source!r}: {reason}; "
                "set prompts to a text file with one prompt a line"
            ) from error
        return enough(captions, count, f"the {pool} pool of {source}", most)


component = Coco()
