"""Whether the tables of adverse events agree with each other and with the events themselves."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pandas as pd

from nkhcc_helpers.safety.counts import (
    ANY_OF_CLASS,
    ANY_RELATED,
    ANY_TERM,
    BLOCK,
    ORGAN_CLASS,
    OVERALL,
    TERM,
    list_categories,
    list_events,
)
from nkhcc_helpers.safety.exposure import estimate_rates
from nkhcc_helpers.safety.listings import count_dose_limiting
from nkhcc_helpers.safety.timing import count_by_infusion, summarize_onset
from nkhcc_helpers.trial.metadata import ALL_GROUPS
from nkhcc_helpers.trial.patients import NOT_CODED

MOST_SHOWN = 20
MILLION = 1_000_000
NO_NUMBER, NO_LIMIT = -1, -2
"""What stands for NaN and for infinity among numbers of millionths that are compared."""
_COMPARED = {
    "rates": (
        [*BLOCK, "group"],
        ["n_patients", "n_outside", "n_undated", "n_infusions", "n_at_risk"],
        ["time_at_risk", "rate", "rate_per_infusion"],
    ),
    "onset and duration": (
        ["term"],
        ["n_patients", "n_events", "n_ongoing", "n_fatal", "n_unknown_end", "n_imputed"],
        [f"{of}_{each}" for of in ("onset", "duration") for each in ("median", "minimum", "maximum")]
        + ["percent_within_one_day"],
    ),
    "by infusion": (["infusion", "group"], ["n_patients", "n_received", "n_events"], ["percent"]),
    "dose-limiting": (["group"], ["n_treated", "n_evaluable", "n_patients", "n_events"], ["percent"]),
}
"""What names the rows of each table, its counts, and its other numbers that no confidence level bears on."""


class TotalsError(ValueError):
    """Tables of adverse events that contradict each other."""


def check_totals(
    trial,
    *,
    overview,
    by_term,
    listings,
    related_only=False,
    emergent_only=True,
    rates=None,
    onset=None,
    by_infusion=None,
    dose_limiting=None,
    definition=None,
    window_days=30,
):
    """Check that the tables of adverse events reconcile.

    Parameters
    ----------
    overview, by_term : DataFrame
        As of `count_adverse_events` and `count_by_term`.
    listings : dict of str to DataFrame
        Category of the overview, and all its events as of `list_adverse_events`.
    related_only : bool, default False
        As it was for all tables but the overview and `dose_limiting`.
    emergent_only : bool, default True
        As it was for all tables but `dose_limiting`.
    rates, onset, by_infusion, dose_limiting : DataFrame, optional
        As of `estimate_rates`, `summarize_onset`, `count_by_infusion` and `count_dose_limiting`; what is left
        out is not checked, nor are rates and onset where `by_term` says that nothing was recorded.
    definition : Definition, optional
        As it was for `dose_limiting`; needed with it.
    window_days : int or None, default 30
        As it was for `rates`.

    Returns
    -------
    int
        How many pairs of numbers were compared.

    Raises
    ------
    TotalsError
        Naming every pair that disagrees or lacks its partner: worst grades against patients with any; groups
        against "All"; percentages; overview, classes and terms against the events, patient by patient;
        overview against terms and listings; rates against terms; rates, onset and duration, events by
        infusion and dose-limiting toxicity against the tables that these options give.
    ValueError
        `dose_limiting` without its `definition`.
    """
    options = {"related_only": related_only, "emergent_only": emergent_only}
    checks = [
        _compare_grades(by_term),
        _compare_groups(by_term, [*BLOCK, "grade"], "by term"),
        _compare_groups(overview, ["category"], "overview"),
        _compare_percentages(pd.concat([by_term, overview])),
        _compare_terms_with_events(trial, by_term, **options),
        _compare_overview_with_terms(overview, by_term, related_only),
        _compare_overview_with_events(trial, overview, emergent_only),
        *(_compare_listing(overview, category, listed) for category, listed in listings.items()),
    ]
    recorded = by_term["n_patients"].notna().any()
    if recorded and rates is not None:
        again = estimate_rates(trial, window_days=window_days, **options)
        checks += [_compare_tables("rates", rates, again), _compare_rates_with_terms(rates, by_term)]
    if recorded and onset is not None:
        checks.append(_compare_tables("onset and duration", onset, summarize_onset(trial, **options)))
    if by_infusion is not None:
        checks.append(_compare_tables("by infusion", by_infusion, count_by_infusion(trial, **options)))
    if dose_limiting is not None:
        if definition is None:
            raise ValueError("dose_limiting can be checked with its definition only")
        again = count_dose_limiting(trial, definition)
        checks.append(_compare_tables("dose-limiting", dose_limiting, again))
    return _count_agreeing(pd.concat(checks, ignore_index=True))


def _count_agreeing(checks):
    # What is not recorded has nothing to agree with; what is told must have a partner.
    checks = checks.dropna(subset=["first"])
    wrong = checks[(checks["first"] != checks["second"]).fillna(True).astype(bool)]
    if len(wrong):
        told = [f"{row.what}: {row.first} is not {row.second}" for row in wrong.head(MOST_SHOWN).itertuples()]
        more = [f"and {len(wrong) - MOST_SHOWN} more"] if len(wrong) > MOST_SHOWN else []
        raise TotalsError("tables of adverse events disagree: " + "; ".join(told + more))
    return len(checks)


def _pair(what, first, second):
    """Put whole numbers that ought to be the same beside each other."""
    first, second = (pd.array(np.asarray(each), dtype="Int64") for each in (first, second))
    return pd.DataFrame({"what": pd.Index(what).astype(str), "first": first, "second": second})


def _compare_grades(by_term):
    """Each patient stands in one worst grade, so that these add up to those with any."""
    keys = [*BLOCK, "group"]
    by_grade = by_term.astype({"group": str}).set_index(keys)
    parts = []
    for total, grades in {"any": ["1", "2", "3", "4", "5", "missing"], "3+": ["3", "4", "5"]}.items():
        counted = by_grade.loc[by_grade["grade"] == total, "n_patients"]
        inside = by_grade.loc[by_grade["grade"].isin(grades), "n_patients"]
        summed = inside.groupby(level=keys, sort=False).sum().reindex(counted.index)
        what = f"by term, {total} against worst grades, " + counted.index.map(" / ".join)
        parts.append(_pair(what, counted, summed))
    return pd.concat(parts)


def _compare_groups(table, keys, name):
    """Nobody is in two groups, so that the groups add up to all."""
    group = table["group"].astype(str)
    total = table[group == ALL_GROUPS].set_index(keys)["n_patients"]
    summed = table[group != ALL_GROUPS].groupby(keys, sort=False, observed=True)["n_patients"].sum()
    where = total.index.map(" / ".join) if len(keys) > 1 else total.index.astype(str)
    return _pair(f"{name}, all against groups, " + where, total, summed.reindex(total.index))


def _compare_percentages(table):
    """Percentages, in thousandths, are of those evaluable."""
    share = (100_000 * table["percent"]).round()
    known = table["n_evaluable"].where(table["n_evaluable"] > 0).astype("Float64")
    counted = (10_000_000 * table["n_patients"].astype("Float64") / known).round()
    return _pair("percentage, group " + pd.Index(table["group"].astype(str)), counted, share)


def _compare_terms_with_events(trial, by_term, **options):
    """Every row of the table by term, counted anew patient by patient."""
    if by_term["n_patients"].isna().all() and len(by_term):
        return _pair([], [], [])
    overall = (OVERALL, "", ANY_RELATED if options["related_only"] else ANY_TERM)
    events = list_events(trial, **options)
    columns = [events[name].astype(str) for name in ("organ_class", "term", "USUBJID", "group")]
    worst = {overall: {}}
    for organ_class, term, *patient, grade in zip(*columns, events["grade"].fillna(0), strict=True):
        blocks = [overall, (TERM, organ_class, term)]
        if organ_class != NOT_CODED:
            blocks.append((ORGAN_CLASS, organ_class, ANY_OF_CLASS))
        for block in blocks:
            own = worst.setdefault(block, {})
            own[tuple(patient)] = max(own.get(tuple(patient), 0), grade)
    seen = defaultdict(Counter)
    for block, own in worst.items():
        for (_, code), grade in own.items():
            for group in (code, ALL_GROUPS):
                seen[*block, group].update({"any": 1, str(grade or "missing"): 1, "3+": int(grade >= 3)})
    told = by_term.astype({"group": str, "organ_class": str}).set_index([*BLOCK, "group"])
    counted = [seen[key][grade] for key, grade in zip(told.index, told["grade"], strict=True)]
    where = "terms against events, " + told.index.map(" / ".join) + " / " + told["grade"].to_numpy()
    blocks = _pair(["terms and classes that occurred"], [len(by_term[BLOCK].drop_duplicates())], [len(worst)])
    return pd.concat([_pair(where, told["n_patients"], counted), blocks])


def _compare_overview_with_terms(overview, by_term, related_only):
    total, grade3 = ("related", "related_grade3") if related_only else ("any", "grade3")
    first = by_term[by_term["level"] == OVERALL]
    parts = []
    for category, grade in ((total, "any"), (grade3, "3+")):
        counted = _by_group(overview[overview["category"] == category])["n_patients"]
        terms = _by_group(first[first["grade"] == grade])["n_patients"].reindex(counted.index)
        parts.append(_pair(f"overview against terms, {category}, " + counted.index, counted, terms))
    return pd.concat(parts)


def _compare_overview_with_events(trial, overview, emergent_only):
    """Patients and events of each category, counted anew from the events."""
    events = list_events(trial, emergent_only=emergent_only)
    flags, codes = list_categories(events), events["group"].astype(str)
    overview = overview.astype({"group": str})
    of_group = {group: (codes == group) | (group == ALL_GROUPS) for group in overview["group"].unique()}
    what, told, seen = [], [], []
    for row in overview.itertuples():
        inside = events.loc[flags[row.category] & of_group[row.group], "USUBJID"]
        what += [
            f"overview against events, {of} of {row.category}, {row.group}" for of in ("patients", "events")
        ]
        told += [row.n_patients, row.n_events]
        seen += [len(set(inside)), len(inside)]
    return _pair(what, told, seen)


def _compare_listing(overview, category, listed):
    counted = _by_group(overview[overview["category"] == category])
    listed = listed.astype({"group": str})
    grouped = pd.concat([listed, listed.assign(group=ALL_GROUPS)]).groupby("group")["USUBJID"]
    parts = []
    for column, seen in (("n_patients", grouped.nunique()), ("n_events", grouped.size())):
        seen = seen.reindex(counted.index, fill_value=0)
        where = counted.index + f", {column}"
        parts.append(_pair(f"overview against listing, {category}, " + where, counted[column], seen))
    return pd.concat(parts)


def _by_group(table):
    return table.astype({"group": str}).set_index("group")


def _compare_rates_with_terms(rates, by_term):
    """Within the time at risk, only outside it and without a day: together all patients with the term."""
    told = _index(rates, [*BLOCK, "group"])
    summed = told[["n_patients", "n_outside", "n_undated"]].sum(axis=1, skipna=False)
    counted = _index(by_term[by_term["grade"] == "any"], [*BLOCK, "group"])["n_patients"]
    return _pair("rates against terms, " + told.index, summed, counted.reindex(told.index))


def _compare_tables(name, told, again):
    """Compare the numbers of a table with those of the table made anew, and its rows."""
    keys, counts, numbers = _COMPARED[name]
    told, again = _index(told, keys), _index(again, keys)
    lost = again.index.difference(told.index)
    again = again.reindex(told.index)
    parts = [_pair(f"{name}, {each}, " + told.index, told[each], again[each]) for each in counts]
    parts += [
        _pair(f"{name}, {each}, " + told.index, _scale(told[each]), _scale(again[each])) for each in numbers
    ]
    return pd.concat([*parts, _pair(f"{name}, row of " + lost, [1] * len(lost), [0] * len(lost))])


def _scale(numbers):
    """Whole millionths; NaN and infinity have numbers of their own, so that they are compared too."""
    numbers = numbers.astype("Float64").to_numpy(float, na_value=np.nan)
    whole = np.rint(MILLION * np.where(np.isfinite(numbers), numbers, 0.0))
    return np.select([np.isnan(numbers), np.isinf(numbers)], [NO_NUMBER, NO_LIMIT], whole)


def _index(table, keys):
    """Index by the names of the row, put together in a text."""
    return table.set_axis(pd.Index(table[keys].astype(str).agg(" / ".join, axis=1), dtype="str"), axis=0)
