"""Draw all variants with all accelerators, and write docs/variants.md.

    python -m tests.variants [--only WORDS] [--cells FILE]

Takes about a quarter of an hour on an idle core. `--cells` keeps the cells of finished rows in a
file, from which an interrupted run goes on; `--only` draws the rows with these words in their title
afresh, and takes the others from the file.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from tests.variants.cell import WRONG, Cell, judged_row
from tests.variants.page import Table, written
from tests.variants.rows import COLUMNS, VARIANTS

PAGE = Path(__file__).parents[2] / "docs" / "variants.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.variants", description=__doc__.splitlines()[0])
    parser.add_argument("--only")
    parser.add_argument("--cells", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    missing = sorted({name for variant in VARIANTS for name in variant.missing})
    if missing:
        print(f"install first: {' '.join(missing)}", file=sys.stderr)
        return 2
    table = _kept(args.cells)
    for variant in VARIANTS:
        if variant.title in table and not (args.only and args.only in variant.title):
            continue
        table[variant.title] = judged_row(variant, COLUMNS)
        for names, cell in table[variant.title].items():
            if cell.verdict == WRONG:
                print(f"{WRONG} {variant.title}, {'+'.join(names)}: {cell.line}", flush=True)
        if args.cells:
            args.cells.write_text(json.dumps(_plain(table)))
    PAGE.write_text(written(table, VARIANTS, COLUMNS))
    wrong = sum(cell.verdict == WRONG for row in table.values() for cell in row.values())
    print(f"{len(table)} variants × {len(COLUMNS)} accelerators and combinations, {wrong} wrong")
    return 1 if wrong else 0


def _plain(table: Table) -> dict[str, dict[str, dict[str, str]]]:
    return {
        title: {"+".join(names): asdict(cell) for names, cell in row.items()}
        for title, row in table.items()
    }


def _kept(path: Path | None) -> Table:
    if path is None or not path.exists():
        return {}
    return {
        title: {tuple(names.split("+")): Cell(**cell) for names, cell in row.items()}
        for title, row in json.loads(path.read_text()).items()
    }


if __name__ == "__main__":
    sys.exit(main())
