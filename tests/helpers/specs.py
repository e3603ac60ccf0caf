"""Studies as a command line asks for them."""

import pytest

from tuner.cli import main as cli
from tuner.spec import StudySpec


def flags(*arguments: str) -> list[StudySpec]:
    """The studies of a command line, as `tuner run` reads it."""
    studies: list[StudySpec] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tuner.cli.launch.run_all", lambda specs, console, pictures: studies.extend(specs)
        )
        patch.setattr(cli, "quiet", lambda: None)
        assert cli.main(["run", *arguments]) == 0
    return studies
