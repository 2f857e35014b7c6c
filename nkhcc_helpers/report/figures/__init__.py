"""Every figure: each takes a computed frame and returns the axes it drew on, of several panels the main one.

What they share: `labels` names groups by code, all groups of the trial in order; in figures of Cox models it
names covariates (`report.list_covariate_labels`) and `group_labels` the groups. `unit` is that of times,
`conf_level` the level of the intervals drawn, for their heading, `ax` axes for the main panel alone, and
`word` what one treatment is called.
"""

from nkhcc_helpers.report.figures.cohort import plot_design, plot_swimmer
from nkhcc_helpers.report.figures.compatible import (
    plot_candidates,
    plot_compatible_curves,
    plot_narrowing,
    plot_p_values,
    plot_pairs,
    plot_signs,
)
from nkhcc_helpers.report.figures.courses import MOST_PATIENTS, plot_enrolment, plot_timelines
from nkhcc_helpers.report.figures.flow import plot_flow
from nkhcc_helpers.report.figures.ratios import plot_forest, plot_leave_one_out, plot_sweep
from nkhcc_helpers.report.figures.response import plot_waterfall
from nkhcc_helpers.report.figures.safety import plot_grades, plot_onset, plot_shares
from nkhcc_helpers.report.figures.sensitivity import plot_sensitivity
from nkhcc_helpers.report.figures.style import choose_axis_end, list_time_ticks
from nkhcc_helpers.report.figures.survival import (
    plot_first_event,
    plot_incidence,
    plot_km,
    plot_null_distribution,
    plot_schoenfeld,
)

__all__ = [
    "MOST_PATIENTS",
    "choose_axis_end",
    "list_time_ticks",
    "plot_candidates",
    "plot_compatible_curves",
    "plot_design",
    "plot_enrolment",
    "plot_first_event",
    "plot_flow",
    "plot_forest",
    "plot_grades",
    "plot_incidence",
    "plot_km",
    "plot_leave_one_out",
    "plot_narrowing",
    "plot_null_distribution",
    "plot_onset",
    "plot_p_values",
    "plot_pairs",
    "plot_schoenfeld",
    "plot_sensitivity",
    "plot_shares",
    "plot_signs",
    "plot_sweep",
    "plot_swimmer",
    "plot_timelines",
    "plot_waterfall",
]
