"""Display tables of dose: dose-limiting toxicity, relation to the group, differences between groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers.report.display import display_rows, display_table
from nkhcc_helpers.report.names import show_group, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_share,
    is_estimable,
)
from nkhcc_helpers.safety.counts import BLOCK, list_term_names
from nkhcc_helpers.safety.relation import list_scores

if TYPE_CHECKING:
    from great_tables import GT

    from nkhcc_helpers.safety.listings import Definition
    from nkhcc_helpers.trial.trial import Trial


ROUNDING = 1e-9
LIMITING_NOTES = (
    "Evaluable: with a dose-limiting toxicity, or observed throughout those days and given at least "
    "{infusions} in them. Percent of the evaluable; limits exact, Clopper-Pearson.",
    "Doses given after those days, as in a schedule that goes on or rises, are not judged by this table.",
    "Upper limit: one-sided. Shares above it do not fit the data; shares below it do, however few patients "
    "there were.",
)
RELATION_NOTES = (
    "Trend: exact conditional Cochran-Armitage, two-sided. Any difference: exact Fisher-Freeman-Halton. Both "
    "over all ways in which as many patients with the event could fall to the groups.",
    "Smallest possible: what these numbers of patients can give at all. Every term is shown, none chosen by "
    "its P, and no P is adjusted for the others.",
)
SCORE_NAMES = {"equal": "equally spaced, whatever their doses", "dose": "planned dose of each arm"}
NO_TEST_NOTE = "-: with so many patients with the event no P other than 1 is possible."
BY_GROUP_NOTE = "By group: patients with the event of those treated, in the order {groups}."
DRAWN_NOTE = "In brackets the Monte-Carlo standard error of a P from random tables."


def format_dose_limiting(
    frame: pd.DataFrame,
    trial: Trial,
    definition: Definition,
    *,
    conf_level: float = 0.95,
    notes: Iterable[str] = (),
) -> GT:
    """Patients with a dose-limiting toxicity, a row per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``group n_treated n_evaluable n_patients n_events percent ci_lower ci_upper
        one_sided_upper``, as `dose_limiting.count_dose_limiting` returns it.
    trial : Trial
        Knows the group labels.
    definition : dose_limiting.Definition
        Said in words above the table.
    conf_level : float
        Level of the limits, for their headings.
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
            "Treated": "n_treated",
            "Evaluable": "n_evaluable",
            "With it (%)": lambda row: format_share(row["n_patients"], row["percent"]),
            "Events": lambda row: format_number(row["n_events"], 0),
            f"{show_interval(conf_level)}, %": lambda row: _limits(row["ci_lower"], row["ci_upper"]),
            f"Upper limit, one-sided {100 * conf_level:g} %": lambda row: format_percent(
                row["one_sided_upper"]
            ),
        },
        title="Dose-limiting toxicity",
        subtitle=show_definition(definition),
        notes=[*_explain_limiting(definition), *notes],
        illustrative=trial.is_illustrative,
    )


def show_definition(definition: Definition) -> str:
    """What counts as a dose-limiting toxicity, in words.

    Parameters
    ----------
    definition : dose_limiting.Definition

    Returns
    -------
    str
    """
    grade = "grade 5" if definition.grade == 5 else f"grade {definition.grade} or more"
    related = "related to treatment, " if definition.related_only else "whatever its cause, "
    days = f"beginning within {definition.window_days} days after the first infusion"
    excluded = f"; not counted: {', '.join(definition.excluded_terms)}" if definition.excluded_terms else ""
    text = f"{related}{grade}, {days}{excluded}"
    return text[0].upper() + text[1:]


def _explain_limiting(definition: Definition) -> list[str]:
    fewest = definition.fewest_infusions
    infusions = f"{fewest} infusion{'' if fewest == 1 else 's'}"
    return [note.format(infusions=infusions) for note in LIMITING_NOTES]


def _limits(lower: float, upper: float) -> str:
    return format_interval(lower, upper, 0)


def format_dose_relation(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    counts: pd.DataFrame | None = None,
    scores: str | Sequence[float] = "equal",
    notes: Iterable[str] = (),
) -> GT:
    """Exact tests of each term across the groups, each beside the smallest P possible.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``level organ_class term grade n_patients p_trend trend_smallest p_groups groups_smallest
        is_exact p_trend_error p_groups_error``, as `dose_relation.compare_groups` returns it.
    trial : Trial
        Knows the group labels.
    counts : pandas.DataFrame, optional
        Columns ``level organ_class term grade group n_patients n_evaluable``, as `safety.count_by_term`
        returns it; shows which way a trend goes.
    scores : {"equal", "dose"} or sequence of float
        As they were for `frame`.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    names = list_term_names(frame)
    records = frame.to_dict("records")
    columns = {
        "term": [_name_row(row, names) for row in records],
        "n_patients": [format_number(row["n_patients"], 0) for row in records],
    }
    for test in ("trend", "groups"):
        columns[f"p_{test}"] = [_show_p(row, test) for row in records]
        columns[f"{test}_smallest"] = [_show_whole(row[f"{test}_smallest"]) for row in records]
    labels = {"term": "", "n_patients": "Patients"}
    more = [NO_TEST_NOTE] if NOT_APPLICABLE in {*columns["p_trend"], *columns["p_groups"]} else []
    if counts is not None:
        columns["by_group"] = _list_by_group(records, counts, trial)
        labels["by_group"] = "By group"
        more += [BY_GROUP_NOTE.format(groups=", ".join(show_group(code, trial) for code in trial.groups))]
    labels |= {"p_trend": "P", "trend_smallest": "Smallest possible"}
    labels |= {"p_groups": "P", "groups_smallest": "Smallest possible"}
    all_exact = bool(frame["is_exact"][frame["p_trend"].notna()].all())
    drawn = [] if all_exact else [DRAWN_NOTE]
    return display_table(
        pd.DataFrame(columns)[list(labels)],
        title="Do adverse events go with the group?",
        labels=labels,
        spanners=[
            ("Trend over the groups", ["p_trend", "trend_smallest"]),
            ("Any difference", ["p_groups", "groups_smallest"]),
        ],
        notes=[
            *RELATION_NOTES,
            _show_scores(trial, scores),
            *more,
            *drawn,
            *notes,
        ],
        illustrative=trial.is_illustrative,
    )


def _show_scores(trial: Trial, scores: str | Sequence[float]) -> str:
    """The scores behind the trend, group by group, and what they are."""
    unit = f", {trial.metadata.dose_unit}" if trial.metadata.dose_unit else ""
    kind = SCORE_NAMES.get(scores, "as given") if isinstance(scores, str) else "as given"
    kind += unit if kind == SCORE_NAMES["dose"] else ""
    each = [f"{show_group(code, trial)}: {score:g}" for code, score in list_scores(trial, scores).items()]
    return f"Scores of the groups for the trend ({kind}): {'; '.join(each)}."


def _name_row(row: dict, names: dict) -> str:
    name = names[tuple(str(row[column]) for column in BLOCK)]
    grade = str(row["grade"])
    return name if grade == "any" else f"{name}: grade {'3 or more' if grade == '3+' else grade}"


def _show_p(row: dict, test: str) -> str:
    p_value, error, smallest = row[f"p_{test}"], row[f"p_{test}_error"], row[f"{test}_smallest"]
    if is_estimable(smallest) and smallest > 1 - ROUNDING:
        return NOT_APPLICABLE
    drawn = is_estimable(p_value) and is_estimable(error) and error > 0
    return f"{format_p(p_value)} ({error:.1g})" if drawn else _show_whole(p_value)


def _show_whole(p_value: float) -> str:
    """A P of 1 prints as 1, although its sum of probabilities may fall short of it in the last digits."""
    return format_p(1.0 if is_estimable(p_value) and p_value > 1 - ROUNDING else p_value)


def _list_by_group(records: list[dict], counts: pd.DataFrame, trial: Trial) -> list[str]:
    """Patients with the event of those treated, group by group, of each row."""
    keys = [*BLOCK, "grade", "group"]
    texts = [
        f"{format_number(row['n_patients'], 0)}/{int(row['n_evaluable'])}"
        for row in counts.to_dict("records")
    ]
    cells = dict(zip(counts[keys].astype("str").itertuples(index=False, name=None), texts, strict=True))
    rows = [tuple(str(row[key]) for key in keys[:-1]) for row in records]
    return [" ".join(cells.get((*row, code), NOT_ESTIMABLE) for code in trial.groups) for row in rows]


def format_differences(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95, notes: Iterable[str] = ()
) -> GT:
    """Differences from the reference group: a row per category or term, a column per other group.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``category label`` or ``level organ_class term grade``, and ``group reference difference
        ci_lower ci_upper interval``, as `risk_difference.estimate_differences` returns it.
    trial : Trial
        Knows the group labels.
    conf_level : float
        Level of the intervals, for the subtitle.
    notes : iterable of str
        Further lines under the table.

    Returns
    -------
    great_tables.GT
    """
    frame = frame.assign(group=frame["group"].astype("str"))
    codes = [code for code in trial.groups if code in set(frame["group"])]
    keys = _key_rows(frame)
    names = dict(zip(keys, _name_rows(frame), strict=True))
    cells = dict(zip(zip(keys, frame["group"], strict=True), frame.to_dict("records"), strict=True))
    columns = {code: [_difference(cells.get((key, code))) for key in names] for code in codes}
    reference = show_group(frame["reference"].iloc[0], trial) if len(frame) else ""
    methods = " or ".join(dict.fromkeys(frame["interval"].astype("str")))
    return display_table(
        pd.DataFrame({"": list(names.values()), **columns}, dtype="object"),
        title="Differences in the share of patients",
        subtitle=f"Percentage points more than in {reference} ({show_interval(conf_level)})"
        if reference
        else "",
        labels={"": ""},
        groups={code: show_group(code, trial) for code in codes},
        notes=[*([f"Interval: {methods}, each for itself."] if methods else []), *notes],
        illustrative=trial.is_illustrative,
    )


def _key_rows(frame: pd.DataFrame) -> list[tuple]:
    columns = ["category"] if "category" in frame else [*BLOCK, "grade"]
    return list(frame[columns].astype("str").itertuples(index=False, name=None))


def _name_rows(frame: pd.DataFrame) -> list[str]:
    if "category" in frame:
        return list(frame["label"])
    names = list_term_names(frame)
    return [_name_row(row, names) for row in frame.to_dict("records")]


def _difference(row: dict | None) -> str:
    if row is None or not is_estimable(row["difference"]):
        return NOT_ESTIMABLE
    return f"{format_number(row['difference'], 0)} ({_limits(row['ci_lower'], row['ci_upper'])})"
