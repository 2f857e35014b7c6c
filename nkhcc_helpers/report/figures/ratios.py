"""Hazard ratios on logarithmic axes: beside their numbers, by assumption, by patient left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from nkhcc_helpers.report.figures.style import (
    FAINT,
    GREY,
    INK,
    SMALL,
    Look,
    add_grid,
    choose_axes,
    darken,
    group_palette,
    in_house_style,
    known_groups,
    limit_ratios,
    list_looks,
    make_mark,
    open_panels,
    plain,
    say_nothing_to_show,
    set_ratio_axis,
    shorten_names,
    tell_apart,
)
from nkhcc_helpers.report.names import show_interval
from nkhcc_helpers.report.numbers import (
    NOT_ESTIMABLE,
    format_p,
    format_ratio,
    format_ratio_interval,
    is_estimable,
)

POINTS_PER_CHARACTER = 5.6  # of 9-point digits
SHIFT = 0.17  # of the two intervals of a row from its middle
NO_EFFECT = {"color": GREY, "linewidth": 1, "linestyle": (0, (4, 3))}
MAIN_LINE = {"color": INK, "linewidth": 1.6, "markersize": 7}
PERMUTATION_LINE = {"color": GREY, "linewidth": 0.9, "markersize": 5}


@in_house_style
def plot_forest(
    summary: pd.DataFrame, labels: Mapping[str, str], *, conf_level: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Hazard ratios with their intervals on a logarithmic axis, the numbers beside them.

    Parameters
    ----------
    summary : pandas.DataFrame
        Columns ``covariate hr ci_lower ci_upper p_value``, as in the summary of `cox.fit_cox`; a column
        ``model``, when there is one, heads blocks of rows. With ``exact_lower exact_upper``, the interval by
        permutation is a thin line under the other, its numbers under the others; with ``p_permutation``,
        there is a second column of P. What is not estimable prints NE; a limit without end, or beyond the
        axis, ends in an arrow.
    """
    if summary.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0), "Needs two groups")
    both = {"exact_lower", "exact_upper"} <= set(summary)
    rows = _lay_out_ratios(summary, labels, 34 if "p_permutation" not in summary else 28)
    lines = max(rows["name"].str.count("\n").max(), int(both))
    ax = choose_axes(ax, 1.1 + 0.2 * both + (0.27 + 0.13 * lines) * (len(rows) + 1))
    intervals = summary.filter(["hr", "ci_lower", "ci_upper", "exact_lower", "exact_upper"])
    low, high = limit_ratios(intervals)
    set_ratio_axis(ax, "x", low, high, room=28 if "p_permutation" in summary else 36)
    ax.axvline(1, zorder=1, **NO_EFFECT)
    for y, row in enumerate(rows.to_dict("records")):
        if not row["is_heading"]:
            _draw_ratio(ax, y - SHIFT * both, row, low, high)
            if both:
                limits = (row["exact_lower"], row["exact_upper"])
                _draw_interval(ax, y + SHIFT, limits, (low, high), PERMUTATION_LINE)
    _write_ratios(ax, rows, f"HR ({100 * conf_level:g} % CI)", both=both)
    name_rows(ax, rows, top=-1.5)
    ax.tick_params(axis="y", pad=9)  # room for the arrows
    if both:
        square = {"marker": "s", "markerfacecolor": group_palette(["hr"])["hr"], "markeredgecolor": "none"}
        handles = [
            Line2D([], [], label="Profile likelihood (first line)", **MAIN_LINE, **square),
            Line2D([], [], label="Permutation (second line)", **PERMUTATION_LINE),
        ]
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=SMALL)
    ax.set_xlabel("Hazard ratio; below 1: events come later")
    return ax


def _lay_out_ratios(summary: pd.DataFrame, labels: Mapping[str, str], width: int) -> pd.DataFrame:
    """Rows from the top: each model's name, then its covariates."""
    rows, model = [], None
    for row in summary.to_dict("records"):
        if "model" in row and row["model"] != model:
            model = row["model"]
            rows.append({"name": plain(model, width + 2), "is_heading": True})
        name = labels.get(row["covariate"], row["covariate"])
        # Room for two long labels: a group's and its comparator's, which comes last.
        rows.append({**row, "name": plain(name, width, lines=8), "is_heading": False})
    return pd.DataFrame(rows)


def _draw_ratio(ax: Axes, y: float, row: dict, low: float, high: float) -> None:
    if not is_estimable(row["hr"]) or row["hr"] <= 0:
        look = {"fontsize": SMALL, "color": INK, "backgroundcolor": "white"}
        ax.text(1, y, NOT_ESTIMABLE, ha="center", va="center", **look)
        return
    lower = row["ci_lower"] if is_estimable(row["ci_lower"]) else 0.0
    upper = row["ci_upper"] if is_estimable(row["ci_upper"]) else np.inf
    _draw_interval(ax, y, (lower, upper), (low, high), MAIN_LINE)
    if low <= row["hr"] <= high:
        ax.plot(row["hr"], y, marker="s", markersize=7, color=group_palette(["hr"])["hr"], zorder=4)


def _draw_interval(ax: Axes, y: float, limits: tuple, ends: tuple, look: dict) -> None:
    """A line between two limits, none where one is missing; an arrow where it goes on beyond the axis."""
    if np.isnan(limits).any():
        return
    shown = np.clip(limits, *ends)
    line = {name: value for name, value in look.items() if name != "markersize"}
    ax.plot(shown, [y, y], solid_capstyle="butt", **line)
    marks = {"color": look["color"], "markersize": look["markersize"], "clip_on": False}
    ax.plot(shown[0], y, marker="<" if limits[0] < ends[0] else "|", **marks)
    ax.plot(shown[1], y, marker=">" if limits[1] > ends[1] else "|", **marks)


def _write_ratios(ax: Axes, rows: pd.DataFrame, heading: str, *, both: bool) -> None:
    """Columns of numbers right of the axis, under their headings."""
    shown = rows[~rows["is_heading"].astype(bool)]
    columns = [(heading, {y: _ratio_text(row) for y, row in shown.to_dict("index").items()})]
    for name, column in (("P", "p_value"), ("P permuted", "p_permutation")):
        if column in rows:
            columns.append((name, {y: format_p(p_value) for y, p_value in shown[column].items()}))
    x = 10.0
    for i, (name, texts) in enumerate(columns):
        _write(ax, x, -1, name, fontweight="bold")
        for y, text in texts.items():
            _write(ax, x, y - SHIFT * (both and i == 0), text)
        if both and i == 0:
            limits = zip(shown["exact_lower"], shown["exact_upper"], strict=True)
            for y, pair in zip(shown.index, limits, strict=True):
                _write(ax, x, y + SHIFT, format_ratio_interval(*pair), color=GREY)
        x += 8 + POINTS_PER_CHARACTER * max(len(text) for text in (name, *texts.values()))


def _write(ax: Axes, x: float, y: float, text: str, **look) -> None:
    at = {"xycoords": ax.get_yaxis_transform(), "xytext": (x, 0), "textcoords": "offset points"}
    ax.annotate(text, (1, y), va="center", fontsize=SMALL, annotation_clip=False, **at, **look)


def _ratio_text(row: dict) -> str:
    if not is_estimable(row["hr"]):
        return NOT_ESTIMABLE
    return f"{format_ratio(row['hr'])} ({format_ratio_interval(row['ci_lower'], row['ci_upper'])})"


MOST_COLUMNS = 3
QUANTITY_NAMES = {"dose": "Dose per infusion", "infusions": "Planned infusions"}
ASSUMED = {"color": INK, "linewidth": 1.3, "linestyle": (0, (1, 1.5))}


@in_house_style
def plot_sweep(
    frame: pd.DataFrame,
    labels: Mapping[str, str],
    group_labels: Mapping[str, str],
    *,
    conf_level: float = 0.95,
    quantities: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Hazard ratios against each assumed number, a column of panels per number, a row per covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``group quantity value is_assumed covariate hr ci_lower ci_upper``, as
        `cox.sweep_assumptions` returns it. Values that cannot be estimated leave a gap; limits without end
        fill the panel.
    quantities : mapping of str to str, optional
        What "dose" and "infusions" of a plan are called.
    """
    frame = frame.assign(group=frame["group"].astype("str"))
    covariates = list(dict.fromkeys(frame["covariate"]))
    numbers = list(dict.fromkeys(zip(frame["group"], frame["quantity"], strict=True)))
    if not numbers:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    if ax is None:
        panels = _open_sweep(len(numbers), len(covariates), conf_level)
    else:
        panels, numbers, covariates = np.array([[ax]]), numbers[:1], covariates[:1]
    looks = list_looks(known_groups(frame, group_labels), group_labels)
    names = {group: look.name for group, look in looks.items()} | dict(group_labels)
    titles = dict(zip(names, tell_apart(names.values(), 28, 2), strict=True))
    for i, covariate in enumerate(covariates):
        of_covariate = frame[frame["covariate"] == covariate]
        ends = limit_ratios(of_covariate[["hr", "ci_lower", "ci_upper"]])
        for j, (group, quantity) in enumerate(numbers):
            block, column = divmod(j, panels.shape[1])
            panel = panels[block * len(covariates) + i, column]
            part = of_covariate[(of_covariate["group"] == group) & (of_covariate["quantity"] == quantity)]
            _draw_sweep(panel, part.sort_values("value"), ends, looks[group].colour)
            panel.set_xlabel(plain((quantities or QUANTITY_NAMES).get(quantity, quantity)))
            panel.set_title(titles[group], fontsize=SMALL)
            if column == 0:
                name = plain(labels.get(covariate, covariate), 26, lines=2)
                panel.set_ylabel(f"Hazard ratio\n{name}", fontsize=SMALL)
    return panels[0, 0]


def _open_sweep(n_numbers: int, n_covariates: int, conf_level: float) -> np.ndarray:
    """Rows of panels, one per covariate; where there are many numbers, several blocks of such rows."""
    columns = min(n_numbers, MOST_COLUMNS)
    n_panels = columns * n_covariates * -(-n_numbers // columns)
    panels = open_panels(n_panels, columns, height=2.4, head=0.6).reshape(-1, columns)
    for line in panels[-n_covariates:]:
        for unused in line[(n_numbers - 1) % columns + 1 :]:
            unused.set_visible(False)
    handles = [
        Line2D([], [], color=INK, linewidth=2, label="Hazard ratio"),
        Patch(color=GREY, alpha=0.3, label=show_interval(conf_level)),
        Line2D([], [], label="Value assumed", **ASSUMED),
        Line2D([], [], label="No effect", **NO_EFFECT),
    ]
    panels[0, 0].figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=SMALL)
    return panels


def _draw_sweep(ax: Axes, part: pd.DataFrame, ends: tuple[float, float], colour: object) -> None:
    ratio = part["hr"].where(np.isfinite(part["hr"]))
    lower = part["ci_lower"].fillna(0.0).where(ratio.notna()).clip(*ends)
    upper = part["ci_upper"].fillna(np.inf).where(ratio.notna()).clip(*ends)
    set_ratio_axis(ax, "y", *ends, room=18)
    ax.axhline(1, zorder=1, **NO_EFFECT)
    ax.fill_between(part["value"], lower, upper, color=colour, alpha=0.22, linewidth=0)
    # A value between two that are not estimable has neither line nor ribbon to stand on.
    alone = ratio.notna() & ratio.shift().isna() & ratio.shift(-1).isna()
    ax.vlines(part["value"][alone], lower[alone], upper[alone], color=colour, alpha=0.4, linewidth=3)
    whole = bool((part["value"] % 1 == 0).all())
    marked = ratio.notna() if whole else alone
    ax.plot(part["value"], ratio, color=darken(colour, 0.15), linewidth=2)
    points = {"linestyle": "", "marker": "o", "markersize": 4, "color": darken(colour, 0.15)}
    ax.plot(part["value"][marked], ratio[marked], **points)
    for value in part.loc[part["is_assumed"].astype(bool), "value"].unique():
        ax.axvline(value, **ASSUMED)
    margin = 0.03 * (part["value"].max() - part["value"].min()) or 0.5
    ax.set_xlim(part["value"].min() - margin, part["value"].max() + margin)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
    add_grid(ax)


MOST_NAMES = 60  # patients; beyond, they are not named
TURNED = {"marker": "o", "markersize": 12, "markerfacecolor": "none", "markeredgecolor": INK}


@in_house_style
def plot_leave_one_out(
    frame: pd.DataFrame,
    labels: Mapping[str, str],
    group_labels: Mapping[str, str],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Each hazard ratio without each patient in turn, a panel per covariate.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``group covariate hr hr_all changes_sign`` and ``USUBJID`` or ``subject``, as
        `cox.leave_one_out` returns it: one row per patient left out and covariate.
    """
    covariates = list(dict.fromkeys(frame["covariate"]))
    if frame[["hr", "hr_all"]].isna().all(axis=None):
        why = "Needs two groups" if covariates and frame["group"].nunique() < 2 else "Nothing to show"
        return say_nothing_to_show(choose_axes(ax, 2.0), why)
    looks = list_looks(known_groups(frame, group_labels), group_labels)
    subject = frame["USUBJID" if "USUBJID" in frame else "subject"].astype("str")
    rows = frame.assign(subject=subject, group=pd.Categorical(frame["group"].astype("str"), list(looks)))
    rows = rows.sort_values("group", kind="stable")
    rows["y"] = pd.factorize(rows["subject"])[0]
    n_rows, many = int(rows["y"].max()) + 1, len(covariates) > 2
    panels = [ax]
    if ax is None:
        height = 1.0 + min(0.19 * n_rows, 8.0)
        panels = open_panels(len(covariates), MOST_COLUMNS, height=height, head=0.6, sharey=True)
    named = n_rows <= MOST_NAMES
    names = shorten_names(rows.drop_duplicates("y")["subject"])[1] if named else []
    for panel, covariate in zip(panels, covariates, strict=False):
        _draw_left_out(panel, rows[rows["covariate"] == covariate], looks, room=20 if many else 34)
        panel.set_title(plain(labels.get(covariate, covariate), 24 if many else 40))
        margin = 0.6 + 0.01 * n_rows
        panel.set_ylim(n_rows - 1 + margin, -margin)
        panel.set_yticks(range(len(names)), names, fontsize=SMALL - 0.5)
        panel.tick_params(axis="y", length=0)
    panels[0].set_ylabel("Patient left out")
    told = zip(looks.values(), tell_apart([look.name for look in looks.values()], 40), strict=True)
    handles = [
        make_mark(look.marker, 6, look.colour, name, markeredgecolor=look.colour) for look, name in told
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1.4, label="With every patient"))
    if rows["changes_sign"].fillna(False).astype(bool).any():
        handles.append(Line2D([], [], linestyle="", label="Without them it crosses 1", **TURNED))
    panels[0].figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=SMALL)
    return panels[0]


def _draw_left_out(ax: Axes, part: pd.DataFrame, looks: Mapping[str, Look], *, room: int) -> None:
    whole = part["hr_all"].iloc[0]
    low, high = _limit_left_out([*part["hr"], whole])
    set_ratio_axis(ax, "x", low, high, room=room)
    ax.axvline(1, zorder=1, **NO_EFFECT)
    if is_estimable(whole):
        ax.axvline(whole, color=INK, linewidth=1.4, zorder=1)
    few = len(part) <= MOST_NAMES
    shown = part.assign(hr=part["hr"].clip(low, high))  # what lies beyond the axis stands at its edge
    for group, own in shown.groupby("group", observed=True):
        look = {"color": looks[group].colour, "marker": looks[group].marker}
        ax.plot(own["hr"], own["y"], linestyle="", markersize=6 if few else 3.5, zorder=3, **look)
        ax.axhline(own["y"].max() + 0.5, color=FAINT, linewidth=0.8)
    turned = shown[shown["changes_sign"].fillna(False).astype(bool)]
    ring = TURNED | {"markersize": 12 if few else 7}
    ax.plot(turned["hr"], turned["y"], linestyle="", zorder=2, **ring)
    for y in part.loc[part["hr"].isna() & few, "y"]:
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0}
        ax.text(1, y, NOT_ESTIMABLE, fontsize=SMALL - 1.5, va="center", ha="center", bbox=paper)
    ax.set_xlabel("Hazard ratio")


def _limit_left_out(values: list[float]) -> tuple[float, float]:
    """Ends of an axis that holds 1 and every ratio, however close to one another they are."""
    values = np.asarray(values, dtype=float)
    seen = np.clip([1.0, *values[np.isfinite(values) & (values > 0)]], 1e-6, 1e6)
    margin = max((seen.max() / seen.min()) ** 0.12, 1.005)
    return seen.min() / margin, seen.max() * margin


def name_rows(ax: Axes, rows: pd.DataFrame, *, top: float = -0.6) -> None:
    """Name rows from the top down by ``name``, in bold where ``is_heading``; the first is at 0."""
    ax.set_ylim(len(rows) - 0.4, top)
    ax.set_yticks(range(len(rows)), rows["name"], fontsize=SMALL)
    for tick, heading in zip(ax.get_yticklabels(), rows["is_heading"], strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
