"""Every figure: each takes a computed frame and returns the axes it drew on."""

from nkhcc_helpers.report.figures.cohort import plot_enrolment, plot_flow, plot_swimmer
from nkhcc_helpers.report.figures.compatible import (
    plot_candidates,
    plot_compatible_curves,
    plot_narrowing,
    plot_p_values,
    plot_pairs,
)
from nkhcc_helpers.report.figures.cox_checks import plot_design, plot_leave_one_out, plot_schoenfeld
from nkhcc_helpers.report.figures.grades import plot_grades, plot_shares
from nkhcc_helpers.report.figures.onset import plot_first_event, plot_onset, plot_terms
from nkhcc_helpers.report.figures.ratios import plot_forest, plot_signs, plot_sweep
from nkhcc_helpers.report.figures.style import (
    choose_axis_end,
    group_lines,
    group_markers,
    group_palette,
    list_time_ticks,
)
from nkhcc_helpers.report.figures.survival import plot_km, plot_null_distribution
from nkhcc_helpers.report.figures.timelines import plot_timelines

__all__ = [
    "choose_axis_end",
    "group_lines",
    "group_markers",
    "group_palette",
    "list_time_ticks",
    "plot_candidates",
    "plot_compatible_curves",
    "plot_design",
    "plot_enrolment",
    "plot_first_event",
    "plot_flow",
    "plot_forest",
    "plot_grades",
    "plot_km",
    "plot_leave_one_out",
    "plot_narrowing",
    "plot_null_distribution",
    "plot_onset",
    "plot_p_values",
    "plot_pairs",
    "plot_schoenfeld",
    "plot_shares",
    "plot_signs",
    "plot_sweep",
    "plot_swimmer",
    "plot_terms",
    "plot_timelines",
]
