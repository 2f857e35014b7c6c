"""Figures of cohorts that give the same published numbers: what varies among them, and what narrows it."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nkhcc_helpers.report.figures.ratios import name_rows
from nkhcc_helpers.report.figures.style import (
    FAINT,
    GREY,
    INK,
    LEVEL,
    RANGE,
    RANGES,
    SMALL,
    WIDTH,
    add_grid,
    choose_axes,
    darken,
    draw_range,
    explain_above,
    group_palette,
    in_house_style,
    limit_ratios,
    open_panels,
    plain,
    say_nothing_to_show,
    set_ratio_axis,
    tell_apart,
)
from nkhcc_helpers.report.numbers import NOT_ESTIMABLE, format_percent
from nkhcc_helpers.survival.curves import Curves

Names = Mapping[str, str]  # what codes, groups, statistics or claims are called
MOST_COLUMNS = 3
BOUND = {"color": GREY, "linewidth": 1.0}
LOWEST_P = 1e-5
WIDEST = 10.0  # times as wide: where the colours of a grid end
SHADES = "Blues"
DARK = 0.6  # of the shades, from where on a number is written in white
_ENDS = ("median", "lower", "upper", "smallest", "largest", "bound_lower", "bound_upper")


@in_house_style
def plot_compatible_curves(
    cohorts: object, endpoint: str, labels: Names, unit: str, *, most: int = 60, ax: Axes | None = None
) -> Axes:
    """Kaplan-Meier curves of the first compatible cohorts, a panel per group, with the claimed medians.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    endpoint : str
    most : int
        Cohorts drawn.
    """
    groups = list(cohorts.claimed.groups)
    times, events = (part[:most] for part in cohorts.of(endpoint))
    if not len(times):
        return say_nothing_to_show(choose_axes(ax, 2.0))
    columns = MOST_COLUMNS if len(groups) > 4 else 4
    size = {"height": 2.3, "head": 0.9}
    panels = [ax] if ax else open_panels(len(groups), columns, sharex=True, sharey=True, **size)
    colours, claims = group_palette(labels), cohorts.claimed.claims_about(endpoint)
    titles = dict(zip(groups, tell_apart([labels.get(each, each) for each in groups], 30, 2), strict=True))
    for panel, group in zip(panels, groups, strict=False):
        members = np.asarray(cohorts.claimed.codes) == groups.index(group)
        colour = colours.get(group, INK)
        curves = Curves.of(times[:, members], events[:, members])
        for steps, survival in zip(np.maximum(curves.times, 1e-9), curves.survival, strict=True):
            panel.step(steps, survival, where="post", color=colour, alpha=0.22, linewidth=0.9)
        for claim in claims:
            if claim.kind == "median" and claim.group == group:
                panel.axvspan(*claim.limits, color=INK, alpha=0.25, linewidth=0)
                panel.plot(claim.value, 0.5, marker="D", markersize=5.5, color=INK, markeredgecolor="white")
        _set_time_axis(panel, times, unit)
        panel.set_title(titles[group], fontsize=SMALL)
    panels[0].set_ylabel("Without the event")
    if ax is None:
        handles = [
            Line2D([], [], color=GREY, linewidth=0.9, label="One compatible cohort"),
            Line2D([], [], linestyle="", marker="D", color=INK, label="Printed median"),
            Patch(color=INK, alpha=0.25, label="What it stands for"),
        ]
        explain_above(panels[0], handles)
    return panels[0]


@in_house_style
def plot_p_values(
    statistics: pd.DataFrame,
    answers: pd.DataFrame,
    names: Names,
    endpoints: Names,
    *,
    alpha: float = 0.05,
    ax: Axes | None = None,
) -> Axes:
    """P-values of every compatible cohort: a strip per test, with the range and the bounds.

    Parameters
    ----------
    statistics : pandas.DataFrame
        As of `calculate_statistics`.
    answers : pandas.DataFrame
        Rows ``endpoint statistic`` to draw, with ``lower upper smallest largest``, and ``bound_lower
        bound_upper`` where bounds are known.
    names : mapping of Statistic to str
        What statistics are called.
    endpoints : mapping of str to str
        Endpoint code to label.
    alpha : float
        Level marked by a line.
    """
    rows = _arrange(answers, names, endpoints)
    if not len(rows):
        return say_nothing_to_show(choose_axes(ax, 2.0))
    ax = choose_axes(ax, 1.3 + 0.42 * len(rows))
    colours = group_palette(dict.fromkeys(rows["statistic"]))
    rng = np.random.default_rng(0)
    for y, row in enumerate(rows.to_dict("records")):
        if row["is_heading"]:
            continue
        colour, values = colours[row["statistic"]], statistics[(row["endpoint"], row["statistic"])]
        values = np.maximum(values.dropna().to_numpy(float), LOWEST_P)
        jitter = rng.uniform(-0.26, 0.26, len(values))
        ax.plot(values, y + jitter, ".", color=colour, markersize=3, alpha=0.35, zorder=2)
        _draw_answer(ax, y, row, colour, body=darken(colour))
    highest = np.nanmax([*rows[["largest", "bound_upper"]].to_numpy(float).ravel(), alpha])
    _finish_rows(ax, rows, alpha, min(highest * 1.5, 1.05), "P-value", room=70)
    one = Line2D([], [], linestyle="", marker=".", color=GREY, label="One compatible cohort")
    explain_above(ax, [one, *RANGES])
    return ax


@in_house_style
def plot_pairs(
    answers: pd.DataFrame, names: Names, endpoints: Names, *, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """P-values of pairs of groups over all compatible cohorts.

    Parameters
    ----------
    answers, names, endpoints, alpha
        As in :func:`plot_p_values`; one row per pair and endpoint.
    """
    rows = _arrange(answers, names, endpoints)
    if not len(rows):
        return say_nothing_to_show(choose_axes(ax, 2.0))
    ax = choose_axes(ax, 1.3 + 0.32 * len(rows))
    reach = {True: "Below the line in some", False: "In none"}
    colours = group_palette(reach)
    rows["is_within"] = rows[["smallest", "bound_lower"]].min(axis=1) < alpha
    for y, row in enumerate(rows.to_dict("records")):
        if not row["is_heading"]:
            _draw_answer(ax, y, row, colours[row["is_within"]])
    _finish_rows(ax, rows, alpha, 1.1, "Exact P-value of the pair", room=60)
    drawn = set(rows.loc[~rows["is_heading"].astype(bool), "is_within"])
    handles = [Line2D([], [], color=colours[key], label=reach[key], **RANGE) for key in reach if key in drawn]
    explain_above(ax, [*handles, *RANGES[1:]])
    return ax


def _set_time_axis(ax: Axes, times: np.ndarray, unit: str) -> None:
    set_ratio_axis(ax, "x", max(times.min() / 1.3, 1e-3), times.max() * 1.3, room=16)
    ax.set_ylim(-0.03, 1.05)
    ax.axhline(0.5, color=FAINT, linewidth=0.9, zorder=0)
    ax.set_xlabel(f"Time ({unit})")
    ax.label_outer()


def _arrange(answers: pd.DataFrame, names: Mapping, endpoint_labels: Mapping) -> pd.DataFrame:
    """Rows to draw, under a heading for each endpoint where there are several."""
    blank = {name: np.nan for name in ("bound_lower", "bound_upper") if name not in answers}
    answers = answers.assign(**blank)
    rows = []
    for endpoint in dict.fromkeys(answers["endpoint"]):
        heading = plain(endpoint_labels.get(endpoint, endpoint), 40, lines=1)
        rows.append({"endpoint": endpoint, "name": heading, "is_heading": True})
        own = answers[answers["endpoint"] == endpoint].to_dict("records")
        told = [names.get(row["statistic"], str(row["statistic"])) for row in own]
        told = tell_apart(told, 46 if max(map(len, told)) < 2 * 46 else 60, 2)
        for row, name in zip(own, told, strict=True):
            rows.append({**row, "name": name, "is_heading": False})
    return pd.DataFrame(rows, columns=["name", "is_heading", *answers.columns])


def _draw_answer(ax: Axes, y: float, row: dict, colour: object, *, body: object = None) -> None:
    """The range of an answer, and its bounds; what is not known is not drawn."""
    known = {name: max(row[name], LOWEST_P) for name in _ENDS if np.isfinite(row[name])}
    draw_range(ax, y, known, colour, body=body)
    for name in ("bound_lower", "bound_upper"):
        if name in known:
            ax.plot(known[name], y, marker="|", markersize=12, markeredgewidth=1.8, color=INK, zorder=4)
    if {"bound_lower", "bound_upper"} <= set(known):
        ax.hlines(y, known["bound_lower"], known["bound_upper"], zorder=1.5, **BOUND)


def _finish_rows(ax: Axes, rows: pd.DataFrame, alpha: float, highest: float, what: str, *, room: int) -> None:
    """Name the rows, and lay out an axis of P-values from the smallest to the highest, with the level."""
    ends = rows[["smallest", "bound_lower"]].to_numpy(float)
    lowest = min([*ends[np.isfinite(ends) & (ends > 0)], alpha])
    set_ratio_axis(ax, "x", max(lowest / 1.5, LOWEST_P), highest, room=room)
    ax.axvline(alpha, zorder=1, **LEVEL)
    name_rows(ax, rows)
    add_grid(ax, "x")
    ax.set_xlabel(f"{what} (logarithmic); dashed line: {alpha:g}")


@in_house_style
def plot_narrowing(
    narrowing: pd.DataFrame, names: Names, claim_names: Names, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """How many times as wide each answer becomes when one claim is dropped.

    Parameters
    ----------
    narrowing : pandas.DataFrame
        Of one endpoint; columns ``claim statistic width_ratio``.
    names, claim_names : mapping to str
        What statistics and claims are called.
    title : str
        What the grid is about.
    """
    narrowing = narrowing[narrowing["claim"] != ""]  # all claims, once as wide as themselves
    grid = _spread(narrowing, "claim", "statistic", "width_ratio")
    texts = [[_show_times(value) for value in row] for row in grid.to_numpy(float)]
    return _draw_grid(grid, texts, claim_names, names, LogNorm(1, WIDEST, clip=True), ax, title)


@in_house_style
def plot_candidates(
    candidates: pd.DataFrame, names: Names, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """What is left of the spread of each answer once one further number is known.

    Parameters
    ----------
    candidates : pandas.DataFrame
        Of one endpoint; columns ``candidate target spread_left``, the last between 0 and 1.
    names, title
        As in :func:`plot_narrowing`.
    """
    grid = _spread(candidates, "candidate", "target", "spread_left")
    for name in grid.index.intersection(grid.columns):
        grid.loc[name, name] = np.nan  # a number tells all of itself
    texts = [
        [
            "" if candidate == target else format_percent(min(100 * grid.loc[candidate, target], 100))
            for target in grid
        ]
        for candidate in grid.index
    ]
    return _draw_grid(1 - grid, texts, names, names, Normalize(0, 1, clip=True), ax, title)


def _spread(frame: pd.DataFrame, rows: str, columns: str, values: str) -> pd.DataFrame:
    """One row per claim or candidate, one column per answer, both in the order given."""
    return frame.pivot_table(index=rows, columns=columns, values=values, sort=False, dropna=False).reindex(
        index=list(dict.fromkeys(frame[rows])), columns=list(dict.fromkeys(frame[columns]))
    )


def _show_times(value: float) -> str:
    if not np.isfinite(value):
        return NOT_ESTIMABLE
    return f"{value:.1f}" if value < 99.5 else ">99"


def _draw_grid(
    grid: pd.DataFrame,
    texts: list,
    rows: Names,
    columns: Names,
    scale: Normalize,
    ax: Axes | None,
    title: str,
) -> Axes:
    if grid.empty:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    ax = choose_axes(ax, 1.9 + 0.34 * len(grid))
    shades = scale(np.ma.masked_invalid(grid.to_numpy(float)))
    ax.imshow(np.ma.masked_invalid(shades), cmap=plt.get_cmap(SHADES), vmin=0, vmax=1.15, aspect="auto")
    for y, line in enumerate(texts):
        for x, text in enumerate(line):
            dark = not np.ma.is_masked(shades[y, x]) and shades[y, x] > DARK
            ax.text(x, y, text, ha="center", va="center", color="white" if dark else INK, fontsize=SMALL)
    width = max(8, int(0.62 * WIDTH * 12 / len(grid.columns)))
    across = tell_apart([columns.get(each, str(each)) for each in grid], width, 6)
    ax.set_xticks(range(len(grid.columns)), across)
    ax.set_yticks(range(len(grid)), tell_apart([rows.get(each, str(each)) for each in grid.index], 38, 2))
    ax.tick_params(length=0, labelsize=SMALL, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_xticks(np.arange(len(grid.columns) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(grid) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.figure.suptitle(plain(title, 80), x=0.01, ha="left", fontsize=10.5)
    return ax


SIGN_SHIFT = 0.2  # of the marks of two methods from the middle of their row


@in_house_style
def plot_signs(
    signs: pd.DataFrame,
    designs: Names,
    covariates: Names,
    methods: Names,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Hazard ratios over all compatible cohorts, a row per coding, a panel per covariate.

    Parameters
    ----------
    signs : pandas.DataFrame
        Of one endpoint; columns ``design method covariate lowest lower median upper highest``.
    designs, covariates, methods : mapping of str to str
        What the values of these columns are called.
    title : str
        What all panels are about.
    """
    shown = list(dict.fromkeys(signs["covariate"]))
    if not shown:
        return say_nothing_to_show(choose_axes(ax, 2.0))
    rows, colours = list(dict.fromkeys(signs["design"])), group_palette(methods)
    size = {"height": 0.46 * len(rows), "head": 1.6}
    panels = [ax] if ax else open_panels(len(shown), len(shown), sharey=True, **size)
    for panel, covariate in zip(panels, shown, strict=False):
        part = signs[signs["covariate"] == covariate]
        low, high = limit_ratios(part[["lowest", "highest"]])
        set_ratio_axis(panel, "x", low, high, room=52 // len(panels))
        panel.axvline(1, zorder=1, **LEVEL)
        for at, method in enumerate(methods):
            offset = SIGN_SHIFT * (2 * at - len(methods) + 1)
            for row in part[part["method"] == method].to_dict("records"):
                _draw_share(panel, rows.index(row["design"]) + offset, row, (low, high), colours[method])
        panel.set_title(plain(covariates.get(covariate, covariate), 34, lines=2), fontsize=SMALL)
        panel.set_xlabel("Hazard ratio")
    panels[0].set_yticks(range(len(rows)), tell_apart([designs.get(row, row) for row in rows], 34, 3))
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    panels[0].tick_params(axis="y", length=0, pad=9, labelsize=SMALL)  # room for an arrow's head
    handles = [Line2D([], [], color=colours[each], label=plain(methods[each]), **RANGE) for each in methods]
    explain_above(panels[0], [*handles, *RANGES[1:3]], title)
    return panels[0]


def _draw_share(ax: Axes, y: float, row: dict, ends: tuple[float, float], colour: object) -> None:
    named = row | {"smallest": row["lowest"], "largest": row["highest"]}
    names = [name for name in ("smallest", "largest", "lower", "median", "upper") if not pd.isna(named[name])]
    known = {name: named[name] for name in names}
    draw_range(ax, y, {name: float(np.clip(value, *ends)) for name, value in known.items()}, colour)
    for name, end, marker, side in (("smallest", ends[0], "<", -1), ("largest", ends[1], ">", 1)):
        if side * (known.get(name, end) - end) > 0:
            ax.plot(end, y, marker=marker, markersize=5, color=darken(colour), clip_on=False, zorder=4)
