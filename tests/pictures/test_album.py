"""Albums: a trial's pictures with their prompts and scores, in one file."""

from hypothesis import given
from hypothesis import strategies as st

from tuner.pictures.album import Entry, packed, unpacked, worst_first

SCORES = st.floats(0, 100)
ENTRIES = st.lists(
    st.builds(
        Entry,
        number=st.integers(0, 255),
        prompt=st.text(max_size=40),
        score=SCORES,
        baseline_score=SCORES,
        baseline_key=st.text("0123456789abcdef", min_size=24, max_size=24),
        webp=st.binary(max_size=50),
    ),
    unique_by=lambda entry: entry.number,
    max_size=6,
)


@given(ENTRIES)
def test_what_is_packed_is_unpacked_in_the_order_of_the_prompts(entries: list[Entry]) -> None:
    assert unpacked(packed(entries)) == sorted(entries, key=lambda entry: entry.number)


@given(ENTRIES)
def test_the_prompts_that_lost_most_against_the_baseline_come_first(entries: list[Entry]) -> None:
    losses = [entry.baseline_score - entry.score for entry in worst_first(entries)]
    assert losses == sorted(losses, reverse=True)
