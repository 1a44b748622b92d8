"""How much a text report shows."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from archaudit.render.view.records import GapRow, LayerTable
from archaudit.render.view.screen_records import Units


class Detail(NamedTuple):
    """What a text report shows. `report` is where the report was written, empty if nowhere.

    `full` is everything. `top` is the number of changes, or of modules of a profile. `layers` adds the table of layers: `depth` limits it
    to the upper levels, `only_changes` to modules that changed, and both imply it. `units` is the unit of compute in tables.
    """

    full: bool = False
    top: int | None = None
    layers: bool = False
    depth: int | None = None
    only_changes: bool = False
    units: Units = "flops"
    report: str = ""

    @property
    def has_layers(self) -> bool:
        """Whether the table of layers is shown."""
        return self.layers or self.depth is not None or self.only_changes

    def select_rows(self, table: LayerTable) -> LayerTable:
        """The table with the rows that are shown in its `brief` list."""
        rows = table.brief if self.depth is None else tuple(row.row for row in table.tree if row.depth <= self.depth)
        if self.only_changes:
            rows = tuple(row for row in rows if (row.repeats if isinstance(row, GapRow) else row.mark))
        return msgspec.structs.replace(table, brief=rows)
