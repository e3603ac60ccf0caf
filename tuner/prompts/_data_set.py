"""Prompts from a column of any data set that the library `datasets` reads."""

from itertools import islice

from tuner.errors import UsageError
from tuner.prompts._columns import checked_column, text_in
from tuner.prompts._pools import enough, pool_of


class PromptData:
    """A column of a split of a data set: of the hub, or of a folder.

    The data set is streamed, so that no more of it is read than the prompts need.
    """

    def __init__(
        self,
        repository: str,
        split: str,
        column: str,
        *,
        config: str | None = None,
        name: str | None = None,
    ) -> None:
        """Name the prompts.

        Args:
            repository: hub id or folder.
            split: such as 'train'.
            column: texts, or lists of texts, of which the first is taken.
            config: which of the data set's configurations; its default one when None.
            name: under which people know the prompts; how they are given otherwise.
        """
        self.repository, self.split, self.column, self.config = repository, split, column, config
        parts = (repository, *((config,) if config else ()), split, column)
        self.name = name or ":".join(parts)

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """At least `count` and up to `most` prompts; see `PromptSet.load`.

        The pools are those of `places_of`.
        """
        wanted = max(count, most or 0)
        prompts = self._prompts(2 * wanted)  # every other one is of the pool
        return enough(pool_of(prompts, count, pool), count, f"the data set {self.name}", most)

    def _prompts(self, most: int) -> list[str]:
        from datasets import load_dataset

        try:
            rows = load_dataset(self.repository, self.config, split=self.split, streaming=True)
            # The names are unknown beforehand where the data set does not declare its features.
            names = rows.column_names or list(next(iter(rows), {}))
            checked_column(self.column, names, f"the data set {self.name}")
            texts = (
                text_in(row, self.column, f"the data set {self.name}").strip()
                for row in rows.select_columns([self.column])
            )
            return list(islice((text for text in texts if text), most))
        except UsageError:
            raise
        except Exception as error:  # datasets raises many kinds of errors for an unreachable hub
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise UsageError(
                f"cannot read the data set {self.name!r}: {reason[0]}; set prompts to "
                "ID:SPLIT:COLUMN of another one, or to a text file with one prompt a line"
            ) from error
