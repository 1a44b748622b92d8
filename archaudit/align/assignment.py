"""Pairs out of a table of gains, whatever the order: the best total where the table is small, the best pair first where it is large."""

from __future__ import annotations

from collections.abc import Callable

Gain = Callable[[int, int], float]

# Rows plus columns for which the optimal assignment, cubic in their number, is still a matter of milliseconds.
_LARGEST_OPTIMAL = 80
# Beyond this many cells not even every pair is compared; what is left by then are heaps of lookalikes.
_LARGEST_TABLE = 200_000


def assign(rows: int, columns: int, gain: Gain) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column at most once; only pairs of positive gain."""
    if not rows or not columns or rows * columns > _LARGEST_TABLE:
        return []
    gains = [[max(0.0, gain(row, column)) for column in range(columns)] for row in range(rows)]
    if not any(any(row) for row in gains):
        return []
    if rows + columns > _LARGEST_OPTIMAL:
        return _assign_greedily(gains)
    if rows <= columns:
        pairs = _assign_optimally(gains)
    else:
        pairs = [(row, column) for column, row in _assign_optimally([list(column) for column in zip(*gains, strict=True)])]
    return sorted((row, column) for row, column in pairs if gains[row][column] > 0)


def _assign_greedily(gains: list[list[float]]) -> list[tuple[int, int]]:
    ranked = sorted((-worth, row, column) for row, line in enumerate(gains) for column, worth in enumerate(line) if worth > 0)
    rows: set[int] = set()
    columns: set[int] = set()
    pairs = []
    for _, row, column in ranked:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            pairs.append((row, column))
    return sorted(pairs)


def _assign_optimally(gains: list[list[float]]) -> list[tuple[int, int]]:
    """The Hungarian method by shortest augmenting paths, for at most as many rows as columns; positions from one, zero is no row.

    Source: H. W. Kuhn, The Hungarian method for the assignment problem, 1955; with the potentials of Jonker and Volgenant, 1987.
    """
    rows, columns = len(gains), len(gains[0])
    row_potential, column_potential = [0.0] * (rows + 1), [0.0] * (columns + 1)
    row_of = [0] * (columns + 1)
    for row in range(1, rows + 1):
        row_of[0] = row
        came_from = [0] * (columns + 1)
        slack = [float("inf")] * (columns + 1)
        done = [False] * (columns + 1)
        column = 0
        while row_of[column]:
            done[column] = True
            here, nearest, step = row_of[column], 0, float("inf")
            for other in range(1, columns + 1):
                if done[other]:
                    continue
                reduced = -gains[here - 1][other - 1] - row_potential[here] - column_potential[other]
                if reduced < slack[other]:
                    slack[other], came_from[other] = reduced, column
                if slack[other] < step:
                    step, nearest = slack[other], other
            for other in range(columns + 1):
                if done[other]:
                    row_potential[row_of[other]] += step
                    column_potential[other] -= step
                else:
                    slack[other] -= step
            column = nearest
        while column:
            row_of[column] = row_of[came_from[column]]
            column = came_from[column]
    return [(row_of[column] - 1, column - 1) for column in range(1, columns + 1) if row_of[column]]
