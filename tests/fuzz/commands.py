"""Running commands in this process, as a terminal would see them."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from tests.fuzz.bounds import bounded
from tuner.cli.main import main

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run a command within the bounds; its exit code and what it prints.

    It must end as commands do: with 0 or 1, or with 2 and one line on standard error. Nothing that
    it prints controls the terminal.
    """
    out, err = io.StringIO(), io.StringIO()
    with bounded(), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse ends so
            code = end.code if isinstance(end.code, int) else 99
    printed, errors = out.getvalue(), err.getvalue()
    assert code in (0, 1, 2), code
    assert "Traceback" not in errors, errors
    assert not CONTROLS.search(printed + errors), (printed, errors)
    if code == 2:
        line = errors.splitlines()[-1]
        assert line.startswith("tuner"), errors
        assert len(line) < 3000
    return code, printed, errors
