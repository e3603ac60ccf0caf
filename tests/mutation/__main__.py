"""Print the table of remedies for known package bugs, as in docs/results/package-bugs.md.

    python -m tests.mutation

Whether the tests named do fail is checked by `make slow` (`test_remedies.py`).
"""

from tests.mutation.remedies import REMOVALS


def main() -> None:
    print("| bug | handling | replaced by | tests that fail |\n|---|---|---|---|")
    for removal in REMOVALS:
        names = dict.fromkeys(test.split("::")[1].split("[")[0] for test in removal.tests)
        tests = ", ".join(f"`{name}`" for name in names)
        remedy = f"{removal.remedy} ({removal.file})"
        print(f"| {removal.bug} | {remedy} | {removal.taken_out} | {tests} |")


if __name__ == "__main__":
    main()
