"""The database's file is deleted or replaced while a run uses it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench
from tuner.errors import DatabaseGoneError
from tuner.measure.measurement import Measurement
from tuner.setting import Setting


def replace(file: Path) -> None:
    """Put a copy in the file's place, as restoring a backup does."""
    copy = file.with_suffix(".copy")
    copy.write_bytes(file.read_bytes())
    copy.replace(file)


@pytest.mark.parametrize("remove", [Path.unlink, replace])
def test_a_run_whose_database_file_is_gone_ends_with_the_trial_in_one_line(
    remove: Callable[[Path], None], tmp_path: Path
) -> None:
    bench = Bench(tmp_path, trials=5)
    bench.storage.patience.begin(lambda line: None)
    file, measure = tmp_path / "tuner.db", bench.measure

    def remove_meanwhile(setting: Setting, trial: int) -> Iterator[Measurement]:
        yield from measure(setting, trial)
        if trial == 2:
            remove(file)

    bench.measure = remove_meanwhile  # type: ignore[method-assign]
    words = f"{file} was deleted or replaced while this run used it"
    with pytest.raises(DatabaseGoneError, match=words) as caught:
        bench.search(samples=None)
    assert "\n" not in str(caught.value)
    assert len(bench.measured) == 3
