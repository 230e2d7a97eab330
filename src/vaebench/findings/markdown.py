"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table, with a line break after its last row.

    Args:
        header: the names of the columns.
        rows: the cells, as many a row as there are names. Their vertical bars are escaped.
        left: how many columns from the left hold words; the others are numbers, aligned to the right.

    Raises:
        ValueError: a row has more or fewer cells.
    """
    rule = "|" + "---|" * left + "---:|" * (len(header) - left)
    lines = [_line(header), rule]
    for cells in rows:
        if len(cells) != len(header):
            raise ValueError(f"{len(cells)} cells under {len(header)} names: {list(cells)}")
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
