"""A Report or a Profile as rows of text, made once: every decision about what is shown, and in which words, is taken here."""

from __future__ import annotations

from archaudit.render.formatting import make_visible
from archaudit.render.view.charts import view_icicles, view_profile_icicles, view_waterfalls
from archaudit.render.view.checks import view_checks, view_claims, view_conclusion
from archaudit.render.view.flow_diagram import view_flow, view_profile_flow
from archaudit.render.view.layer_table.layers import view_layers, view_profile_layers
from archaudit.render.view.methods import view_methods
from archaudit.render.view.next_steps import list_next_steps
from archaudit.render.view.other_changes import view_other_changes
from archaudit.render.view.records import DifferenceView, JudgementView, ProfileView, ReportView
from archaudit.render.view.screen_records import Units
from archaudit.render.view.sections import view_sections
from archaudit.render.view.summary import describe_inputs, name_profile, view_headline, view_metrics, view_totals
from archaudit.render.view.time_spending import list_parts
from archaudit.render.view.training import view_profile_training, view_training
from archaudit.schema import Judgement, Profile, Report

__all__ = [
    "JudgementView",
    "ProfileView",
    "ReportView",
    "view_checks",
    "view_claims",
    "view_conclusion",
    "view_judgement",
    "view_profile",
    "view_report",
]


def view_report(report: Report, units: Units = "flops") -> ReportView:
    """All rows of a report."""
    return ReportView(
        headline=view_headline(report),
        metrics=view_metrics(report),
        sections=view_sections(report, units),
        checks=view_checks(report.checks),
        claims=view_claims(report.checks),
        layers=view_layers(report, units),
        waterfalls=view_waterfalls(report),
        flow=view_flow(report),
        icicles=view_icicles(report),
        other_changes=view_other_changes(report),
        methods=view_methods((("before", report.before), ("after", report.after)), list_parts(report)),
        training=view_training(report),
    )


def view_profile(profile: Profile, units: Units = "flops") -> ProfileView:
    """All rows of a profile."""
    return ProfileView(
        title=name_profile(profile),
        reference="" if profile.reference == profile.name else make_visible(profile.reference),
        inputs=describe_inputs(profile),
        totals=view_totals(profile),
        layers=view_profile_layers(profile, units),
        flow=view_profile_flow(profile),
        icicles=view_profile_icicles(profile),
        methods=view_methods((("", profile),)),
        training=view_profile_training(profile),
    )


def view_judgement(judgement: Judgement) -> JudgementView:
    """All rows of checks that were judged without a comparison, and of what explains those that do not hold."""
    return JudgementView(
        checks=view_checks(judgement.checks),
        claims=view_claims(judgement.checks),
        differences=tuple(
            DifferenceView(
                name=make_visible(name), sentence=view_headline(report).sentence, layers=view_layers(report), flow=view_flow(report)
            )
            for name, report in judgement.differences.items()
        ),
        conclusion=view_conclusion(judgement.checks, judgement.outcome),
        next_steps=list_next_steps(judgement),
    )
