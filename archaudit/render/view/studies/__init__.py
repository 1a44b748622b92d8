"""Histories and sweeps as tables and plots of text and numbers: what every format shows of them."""

from __future__ import annotations

from archaudit.render.view.studies.histories import describe_bisection, view_history
from archaudit.render.view.studies.plots import Column, Plot, StudyView, read_value
from archaudit.render.view.studies.sweeps import view_sweep

__all__ = ["Column", "Plot", "StudyView", "describe_bisection", "read_value", "view_history", "view_sweep"]
