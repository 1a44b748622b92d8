"""The immutable records that the rooms hand to each other, and their JSON.

A record's fields are the keys of the JSON; keys may gain neighbours but never change their meaning without raising
`FORMAT_VERSION`. Unknown keys are ignored on reading, so an older archaudit reads what a newer one of the same version wrote.
"""

from __future__ import annotations

from archaudit.schema.checkout import Checkout, Footprint, Stamp
from archaudit.schema.checks import Check, Contributor, Level, Verdict, name_run
from archaudit.schema.costs import Cost, Peaks, sum_costs
from archaudit.schema.definitions import ClassUse, InitialisationChange
from archaudit.schema.diff import Cause, Diff, Group, Match, ModuleDiff
from archaudit.schema.explanation import Explanation, OperatorRun
from archaudit.schema.forward import FlowDiff, FlowEdgeDiff, FlowPart
from archaudit.schema.judgement import Judgement, SourceLine
from archaudit.schema.latency import (
    Device,
    DeviceState,
    Latency,
    LatencyBudget,
    LatencyFile,
    Machine,
    MeasuredCeilings,
    Pairing,
    Precision,
    RecordedLatency,
    TimingSettings,
)
from archaudit.schema.lock import encode_lock
from archaudit.schema.profile import (
    Call,
    Environment,
    FlowNode,
    InputRecord,
    Ledger,
    ModuleRecord,
    OpRecord,
    Profile,
    Provenance,
    TensorRecord,
    Witness,
    WitnessRow,
)
from archaudit.schema.proof import CheckpointMap, Deviation, Equivalence, ReshapedKey
from archaudit.schema.recipe import InputSpec, Recipe
from archaudit.schema.record import FORMAT_VERSION, AnyRecord, OperatorStatus, Outcome, Record, Setting, Shape
from archaudit.schema.report import Report
from archaudit.schema.saving import decode_latencies, decode_profile, decode_rendered, decode_report, encode, strip_provenance
from archaudit.schema.study import Bisection, Contribution, History, HistoryStep, Jump, Sweep, Variant
from archaudit.schema.weights import FoldedNorm, JoinedRows, TensorSource

__all__ = [
    "FORMAT_VERSION",
    "AnyRecord",
    "Bisection",
    "Call",
    "Cause",
    "Check",
    "Checkout",
    "CheckpointMap",
    "ClassUse",
    "Contribution",
    "Contributor",
    "Cost",
    "Deviation",
    "Device",
    "DeviceState",
    "Diff",
    "Environment",
    "Equivalence",
    "Explanation",
    "FlowDiff",
    "FlowEdgeDiff",
    "FlowNode",
    "FlowPart",
    "FoldedNorm",
    "Footprint",
    "Group",
    "History",
    "HistoryStep",
    "InitialisationChange",
    "InputRecord",
    "InputSpec",
    "JoinedRows",
    "Judgement",
    "Jump",
    "Latency",
    "LatencyBudget",
    "LatencyFile",
    "Ledger",
    "Level",
    "Machine",
    "Match",
    "MeasuredCeilings",
    "ModuleDiff",
    "ModuleRecord",
    "OpRecord",
    "OperatorRun",
    "OperatorStatus",
    "Outcome",
    "Pairing",
    "Peaks",
    "Precision",
    "Profile",
    "Provenance",
    "Recipe",
    "Record",
    "RecordedLatency",
    "Report",
    "ReshapedKey",
    "Setting",
    "Shape",
    "SourceLine",
    "Stamp",
    "Sweep",
    "TensorRecord",
    "TensorSource",
    "TimingSettings",
    "Variant",
    "Verdict",
    "Witness",
    "WitnessRow",
    "decode_latencies",
    "decode_profile",
    "decode_rendered",
    "decode_report",
    "encode",
    "encode_lock",
    "name_run",
    "strip_provenance",
    "sum_costs",
]
