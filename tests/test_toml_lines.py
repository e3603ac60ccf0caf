"""The lines of a TOML file's keys."""

import pytest

from tuner.toml_lines import line_of

TEXT = """\
# a comment
pipe = [
  "SD1.5",  # its first item
  # another comment

  "SD4"]
"quoted key" = 1
knobs.deepcache.cache_interval = 3

[knobs.tome]
ratio = [0.5,
         1.5]
inline = { max_downsample = 1 }

[ "limits" ]
lpips = 0.2
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("pipe",), 2),
        (("pipe", 0), 3),
        (("pipe", 1), 6),
        (("quoted key",), 7),
        (("knobs", "deepcache", "cache_interval"), 8),
        (("knobs", "tome"), 10),
        (("knobs", "tome", "ratio", 1), 12),
        (("knobs", "tome", "inline", "max_downsample"), 13),
        (("limits", "lpips"), 16),
        (("limits", "ssim"), 15),
        (("quoted key", 3), 7),
        (("steps",), None),
    ],
)
def test_a_key_or_the_longest_beginning_of_it_is_found(
    key: tuple[str | int, ...], line: int | None
) -> None:
    assert line_of(TEXT, key) == line


def test_lines_are_those_of_the_file_when_it_has_windows_line_ends_and_umlauts() -> None:
    assert line_of('# ä\r\nmodel = "ü"\r\nsteps = 0\r\n', ("steps",)) == 3
