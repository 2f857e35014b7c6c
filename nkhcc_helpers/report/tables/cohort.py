"""Display tables of the cohort: disposition, baseline, exposure, follow-up, published against reproduced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import display_rows, display_table
from nkhcc_helpers.report.names import (
    ROW,
    arrange_by_group,
    list_group_headings,
    show_endpoint,
    show_group,
    show_interval,
)
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    format_count,
    format_interval,
    format_median,
    format_number,
    format_share,
    is_estimable,
)

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.trial.trial import Trial


DISPOSITION = {
    "n_treated": "Treated",
    "n_completed": "Received all planned infusions",
    "n_fewer": "Received fewer than planned",
    "n_progressed": "Progressed",
    "n_died": "Died",
    "n_alive": "Alive at data cut-off",
    "n_lost": "Lost to follow-up",
}


def format_disposition(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Where everyone enrolled ended up, a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cohort.count_disposition` returns it.
    trial : Trial
        Knows the group labels.
    notes : iterable of str
        Lines under the table.

    Returns
    -------
    great_tables.GT
    """
    rows = {"Enrolled": lambda row: format_number(row["n_enrolled"], 0)}
    for column, heading in DISPOSITION.items():
        rows[heading] = lambda row, column=column: format_count(row[column], row["n_enrolled"])
    return display_table(
        arrange_by_group(frame, rows),
        title="Disposition",
        subtitle="Patients, and percent of those enrolled",
        labels={ROW: ""},
        groups=list_group_headings(frame, trial, "n_enrolled"),
        notes=notes,
        illustrative=trial.is_illustrative,
    )


def format_baseline(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Table 1: who the patients were, a block per variable and a column per group; no significance tests.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cohort.summarize_baseline` returns it.
    trial : Trial
        Knows the group labels.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT

    Notes
    -----
    The median carries its range, which at n = 3 or fewer shows every value; the standard deviation of one
    value is ``-``. Range as measured, medians and means with one more decimal.
    """
    frame = frame.assign(enrolled=frame["n"] + frame["n_missing"])
    blocks = [_baseline_block(part) for _, part in frame.groupby("variable", sort=False, observed=True)]
    groups = list_group_headings(frame, trial, "enrolled")
    empty = pd.DataFrame(columns=["block", ROW, *groups])
    return display_table(
        pd.concat(blocks, ignore_index=True) if blocks else empty,
        title="Baseline characteristics",
        labels={ROW: ""},
        groups=groups,
        row_group="block",
        notes=["SD: standard deviation. Percent of patients with a value.", *notes],
        illustrative=trial.is_illustrative,
    )


def _baseline_block(part: pd.DataFrame) -> pd.DataFrame:
    first = part.iloc[0]
    one_per_group = part.drop_duplicates("group")
    missing = {"Missing": lambda row: format_number(row["n_missing"], 0)}
    if first["kind"] == "continuous":
        rows = {**_continuous_rows(part), **missing}
        shown, statistic = arrange_by_group(one_per_group, rows), ""
    else:
        levels = part.groupby("level", sort=False, observed=True)
        share = {"": lambda row: format_share(row["count"], row["percent"])}
        shown = [arrange_by_group(level, share).assign(**{ROW: _level_label(level)}) for _, level in levels]
        shown, statistic = pd.concat([*shown, arrange_by_group(one_per_group, missing)]), ", n (%)"
    unit = first["unit"]
    unit = f" ({unit})" if isinstance(unit, str) and unit else ""
    shown.insert(0, "block", f"{first['label']}{unit}{statistic}")
    return shown


def _level_label(level: pd.DataFrame) -> str:
    label = level["level_label"].iloc[0]
    return label if isinstance(label, str) and label else str(level["level"].iloc[0]) or "No value"


def _continuous_rows(part: pd.DataFrame) -> dict:
    decimals = _decimals_needed(part[["minimum", "maximum"]])
    return {
        "n": lambda row: format_number(row["n"], 0),
        "Median (range)": lambda row: (
            f"{format_number(row['median'], decimals + 1)}"
            f" ({format_interval(row['minimum'], row['maximum'], decimals)})"
            if is_estimable(row["median"])
            else NOT_APPLICABLE
        ),
        "Mean (SD)": lambda row: _mean_sd(row, decimals + 1),
    }


def _mean_sd(row: pd.Series, decimals: int) -> str:
    if not is_estimable(row["mean"]):
        return NOT_APPLICABLE
    sd = format_number(row["sd"], decimals) if is_estimable(row["sd"]) else NOT_APPLICABLE
    return f"{format_number(row['mean'], decimals)} ({sd})"


def _decimals_needed(values: pd.DataFrame, most: int = 2) -> int:
    """Fewest decimals that show every value as it was measured; none from 1000 on."""
    found = [float(value) for value in values.to_numpy().ravel() if is_estimable(value)]
    if any(abs(value) >= 1000 for value in found):
        return 0
    return next((d for d in range(most) if all(round(v, d) == v for v in found)), most)


def format_exposure(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """Infusions and cumulative dose, planned and received, a column per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cohort.summarize_exposure` returns it.
    trial : Trial
        Knows the group labels and the unit of dose.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    infusions = {
        "Planned": lambda row: _planned(row["planned_infusions"], 0),
        "Received, median (range)": lambda row: _received(row, "received", 0),
        "All planned received, n (%)": lambda row: format_count(row["n_completed"], row["n"]),
    }
    dose = {
        "Planned dose": lambda row: _planned(row["planned_dose"], 2),
        "Received dose, median (range)": lambda row: _received(row, "received_dose", 2),
    }
    shown = arrange_by_group(frame, {**infusions, **dose})
    shown.insert(0, "block", ["Infusions"] * len(infusions) + ["Cumulative dose"] * len(dose))
    unit = getattr(trial.metadata, "dose_unit", "")
    return display_table(
        shown,
        title="Exposure",
        subtitle="Planned and received infusions and dose",
        labels={ROW: ""},
        groups=list_group_headings(frame, trial),
        row_group="block",
        notes=[*([f"Dose: {unit}."] if unit else []), *notes],
        illustrative=trial.is_illustrative,
    )


def _planned(value: float, decimals: int) -> str:
    """A plan that differs between groups has no value for all of them together."""
    return _trimmed(value, decimals) if is_estimable(value) else NOT_APPLICABLE


def _received(row: pd.Series, name: str, decimals: int) -> str:
    if not is_estimable(row[f"{name}_median"]):
        return NOT_APPLICABLE
    ends = " to ".join(_trimmed(row[f"{name}_{end}"], decimals) for end in ("minimum", "maximum"))
    return f"{_trimmed(row[f'{name}_median'], max(decimals, 1))} ({ends})"


def _trimmed(value: float, decimals: int) -> str:
    shown = format_number(value, decimals)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def format_follow_up(
    frame: pd.DataFrame, trial: Trial, *, endpoint: str, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """How long patients were followed, a row per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `cohort.summarize_follow_up` returns it.
    trial : Trial
        Knows the group and endpoint labels and the time unit.
    endpoint : str
        Code of the endpoint whose follow-up it is.
    conf_level : float
        Level of the interval, for its heading.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    return display_rows(
        frame,
        {
            "Group": lambda row: show_group(row["group"], trial),
            "Patients": "n",
            "Events": "n_events",
            f"Median ({show_interval(conf_level)})": lambda row: format_median(
                row["median"], row["ci_lower"], row["ci_upper"]
            ),
            "Longest": lambda row: format_number(row["longest"]),
        },
        title=f"Follow-up for {show_endpoint(endpoint, trial, within=True)}",
        subtitle=f"Time in {trial.unit}",
        notes=["Median by reverse Kaplan-Meier: the event censors follow-up.", *notes],
        illustrative=trial.is_illustrative,
    )


def format_published(frame: pd.DataFrame, trial: Trial, *, notes: Iterable[str] = ()) -> GT:
    """What the paper reported beside what these data give.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `published.compare_published` returns it.
    trial : Trial
        Knows whether the data are illustrative.
    notes : iterable of str
        Lines under the table.

    Returns
    -------
    great_tables.GT
    """
    return display_table(
        frame[["claim", "published", "reproduced", "agrees"]],
        title="Published against reproduced",
        labels={"claim": "Claim", "published": "Published", "reproduced": "Reproduced", "agrees": "Agrees"},
        notes=notes,
        illustrative=trial.is_illustrative,
    )
