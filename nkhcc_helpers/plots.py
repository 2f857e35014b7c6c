"""One door to every figure: each takes a computed frame and returns the axes it drew on.

The house style is in `style`; the figures are in one module per part of the report: `plots_cohort`,
`plots_courses`, `plots_survival`, `plots_tests`, `plots_design`, `plots_cox`, `plots_cox_checks`,
`plots_sweep`; of safety `plots_safety`, `plots_grades`, `plots_shares`, `plots_timelines` and
`plots_first_event`; of compatible cohorts `plots_compatible`, `plots_signs` and `plots_narrowing`.
Pass ``ax`` to draw into axes of your own; nothing is shown or closed here.
"""

from nkhcc_helpers.plots_cohort import plot_enrolment, plot_flow
from nkhcc_helpers.plots_compatible import plot_compatible_curves, plot_p_values, plot_pairs
from nkhcc_helpers.plots_courses import plot_swimmer
from nkhcc_helpers.plots_cox import plot_forest
from nkhcc_helpers.plots_cox_checks import plot_leave_one_out, plot_schoenfeld
from nkhcc_helpers.plots_design import plot_design
from nkhcc_helpers.plots_first_event import plot_first_event
from nkhcc_helpers.plots_grades import plot_grades
from nkhcc_helpers.plots_narrowing import plot_candidates, plot_narrowing
from nkhcc_helpers.plots_safety import plot_onset, plot_terms
from nkhcc_helpers.plots_shares import plot_shares
from nkhcc_helpers.plots_signs import plot_signs
from nkhcc_helpers.plots_survival import plot_km
from nkhcc_helpers.plots_sweep import plot_sweep
from nkhcc_helpers.plots_tests import plot_null_distribution
from nkhcc_helpers.plots_timelines import plot_timelines
from nkhcc_helpers.style import choose_axis_end, group_lines, group_markers, group_palette, list_time_ticks

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
