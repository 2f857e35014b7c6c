"""What patients are in over time, where they are too many to draw one by one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from nkhcc_helpers.report.figures import style
from nkhcc_helpers.report.figures.safety import wrap_label

# Told apart by lightness too.
STATES = {
    "treated": ("#08519c", "In treatment"),
    "followed": ("#9ecae1", "Followed, no progression known"),
    "progressed": ("#e6762b", "Followed after progression"),
    "left": (style.FAINT, "No longer followed"),
    "died": (style.GREY, "Died"),
}
MOST_COLUMNS = 4


@style.in_house_style
def plot_states(states: pd.DataFrame, labels: Mapping[str, str], unit: str) -> Axes:
    """Percent of each group in each state of `cohort.count_states` since enrolment, a panel per group."""
    looks = style.list_looks(style.known_groups(states, labels), labels)
    columns = -(-len(looks) // -(-len(looks) // MOST_COLUMNS))
    panels = style.open_panels(len(looks), columns, height=2.4, head=0.7, sharex=True, sharey=True)
    last = states["time"].max()
    colours, names = zip(*STATES.values(), strict=True)
    for panel, (group, look) in zip(panels, looks.items(), strict=True):
        part = style.rows_of(states, group)
        share = 100 * part[list(STATES)].div(part["n"], axis=0)
        areas = panel.stackplot(part["time"], share.T, colors=colours, labels=names)
        title = f"{wrap_label(look.name, 88 // columns)}\nn = {part['n'].iloc[0]}"
        panel.set_title(title, fontsize=style.SMALL, color=look.dark)
        panel.set(xlim=(0, last), ylim=(0, 100), yticks=range(0, 101, 25))
        style.mark_times(panel, style.list_time_ticks(last, unit)[:: 1 + columns // 3])
        panel.tick_params(labelbottom=True)
        style.add_grid(panel, "y")
    style.explain_above(panels[0], areas)
    panels[0].figure.supxlabel(f"Time since enrolment ({style.plain(unit)})", fontsize=style.SMALL)
    panels[0].figure.supylabel("Patients, %", fontsize=style.SMALL)
    return panels[0]
