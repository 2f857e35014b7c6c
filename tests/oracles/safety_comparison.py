"""Whether the tables of when, how long and how often agree with the events counted anew."""

from __future__ import annotations

import numpy as np
import pandas as pd
from oracles.safety_recounts import recount_by_infusion, recount_dose_limiting, recount_onset, recount_rates

from nkhcc_helpers.safety.counts import BLOCK
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT

SCALE = 1_000_000
ROUNDING = 1e-9
NO_NUMBER, NO_LIMIT = -1, -2
"""What stands for NaN and for infinity among numbers of millionths that are compared."""


def list_disagreements(trial, tables, *, definition, window_days=30, related_only=False, emergent_only=True):
    """What disagrees between tables and the events counted anew, and how many pairs were compared.

    `tables` has any of ``rates onset by_infusion dose_limiting``, as their functions return them, and
    ``by_term``; where that says that nothing was recorded, rates and onset are not compared.
    """
    options = {"related_only": related_only, "emergent_only": emergent_only}
    recorded = tables["by_term"]["n_patients"].notna().any()
    parts = []
    if "rates" in tables and recorded:
        recounted = recount_rates(trial, window_days=window_days, **options)
        parts += [_compare_rates(trial, tables["rates"], recounted)]
        parts += [_compare_rates_with_terms(tables["rates"], tables["by_term"])]
    if "onset" in tables and recorded:
        parts.append(_compare_onset(tables["onset"], recount_onset(trial, **options)))
    if "by_infusion" in tables:
        parts.append(_compare_by_infusion(tables["by_infusion"], recount_by_infusion(trial, **options)))
    if "dose_limiting" in tables:
        recounted = recount_dose_limiting(trial, definition)
        parts.append(_compare_dose_limiting(tables["dose_limiting"], recounted))
    checks = pd.concat(parts, ignore_index=True).dropna(subset=["first"])
    wrong = checks[(checks["first"] != checks["second"]).fillna(True).astype(bool)]
    return list(wrong["what"]), len(checks)


def _pair(what, first, second):
    """Numbers that ought to be the same beside each other, as Int64."""
    return pd.DataFrame(
        {
            "what": pd.Index(what).astype(str),
            "first": pd.array(first.to_numpy(), dtype="Int64"),
            "second": pd.array(second.to_numpy(), dtype="Int64"),
        }
    )


def _compare(name, told, seen, columns):
    """Compare counts of `told`, indexed by text, with those of `seen`, and its rows with the keys of that."""
    again = _tabulate(seen, columns, told.index)
    parts = [
        _pair(f"{name}, {column}, " + told.index, told[column], again[column].astype("Int64"))
        for column in columns
    ]
    lost = pd.Index(sorted(set(seen) - set(told.index)), dtype="str")
    one, none = (pd.Series(number, index=lost, dtype="Int64") for number in (1, 0))
    return pd.concat([*parts, _pair(f"{name}, row of " + lost, one, none)])


def _tabulate(seen, columns, index):
    """What was counted anew, a row for each of the table."""
    return pd.DataFrame(list(seen.values()), index=list(seen), columns=columns).reindex(index)


def _compare_numbers(what, told, seen):
    """Compare numbers that are not whole, but for rounding in their last digits."""
    told, seen = (column.astype("Float64").to_numpy(float, na_value=np.nan) for column in (told, seen))
    same = np.isclose(told, seen, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)
    return _pair(what, _scale(told), _scale(np.where(same, told, seen)))


def _scale(numbers):
    """Whole millionths; NaN and infinity have numbers of their own, so that they are compared too."""
    finite = np.where(np.isfinite(numbers), numbers, 0.0)
    return (
        pd.Series(np.rint(SCALE * finite))
        .mask(np.isnan(numbers), NO_NUMBER)
        .mask(np.isinf(numbers), NO_LIMIT)
    )


def _compare_rates(trial, rates, recounted):
    unit = DAYS_PER_UNIT[trial.unit]
    told = _index(rates.assign(days=(rates["time_at_risk"] * unit).round()), [*BLOCK, "group"])
    told = told[told["n_patients"].notna()]
    seen = {" / ".join(key): row for key, row in recounted.items()}
    counts = ["n_patients", "n_outside", "n_undated", "days", "n_infusions", "n_at_risk"]
    parts = [_compare("rates", told, seen, counts)]
    again = _tabulate(seen, counts, told.index)
    # No rate is given where nobody can place an event of any patient with the term.
    hidden = (again["n_patients"] + again["n_outside"] == 0) & (again["n_undated"] > 0)
    for column, exposure in (
        ("rate", again["days"] / unit),
        ("rate_per_infusion", again["n_infusions"].astype(float)),
    ):
        known = (again["n_patients"] / exposure.where(exposure > 0)).mask(hidden)
        parts.append(_compare_numbers(f"rates, {column}, " + told.index, told[column], known))
    return pd.concat(parts)


def _compare_rates_with_terms(rates, by_term):
    """Within the time at risk, only outside it and without a day: together all patients with the term."""
    told = _index(rates, [*BLOCK, "group"])
    summed = told[["n_patients", "n_outside", "n_undated"]].sum(axis=1, skipna=False)
    counted = _index(by_term[by_term["grade"] == "any"], [*BLOCK, "group"])["n_patients"]
    return _pair("rates against terms, " + told.index, summed, counted.reindex(told.index))


def _compare_onset(onset, recounted):
    told = onset.set_axis(onset["term"].astype(str), axis=0)
    counts = [name for name in told if name.startswith("n_")]
    numbers = [name for name in told if name not in (*counts, "term", "duration_lower", "duration_upper")]
    name = "onset and duration"
    again = _tabulate(recounted, numbers, told.index)
    return pd.concat(
        [
            _compare(name, told, recounted, counts),
            *(
                _compare_numbers(f"{name}, {each}, " + told.index, told[each], again[each])
                for each in numbers
            ),
        ]
    )


def _compare_by_infusion(by_infusion, recounted):
    told = by_infusion.assign(infusion=by_infusion["infusion"].fillna(0).astype(int).astype(str))
    told = _index(told, ["infusion", "group"])
    counted = {key: row for key, row in recounted.items() if key[0] or row["n_events"]}
    # Groups in which nobody received an infusion have a row of zeros.
    seen = {" / ".join(map(str, key)): row for key, row in counted.items()}
    nothing = dict.fromkeys(("n_patients", "n_received", "n_events"), 0)
    seen = dict.fromkeys(told.index, nothing) | seen
    checks = [_compare("by infusion", told, seen, ["n_patients", "n_received", "n_events"])]
    checks.append(_compare_percent("by infusion", told, "n_received"))
    return pd.concat(checks)


def _compare_dose_limiting(dose_limiting, recounted):
    told = _index(dose_limiting, ["group"])
    columns = ["n_treated", "n_evaluable", "n_patients", "n_events"]
    parts = [_compare("dose-limiting", told, recounted, columns)]
    return pd.concat([*parts, _compare_percent("dose-limiting", told, "n_evaluable")])


def _compare_percent(name, told, of):
    """Percent against the quotient of the counts beside it."""
    n_all = told[of].astype("Float64")
    known = 100 * told["n_patients"].astype("Float64") / n_all.where(n_all > 0)
    return _compare_numbers(f"{name}, percent, " + told.index, told["percent"], known)


def _index(table, keys):
    """Index by the names of the row, put together in a text."""
    names = table[keys].astype(str)
    return table.set_axis(pd.Index(names.agg(" / ".join, axis=1), dtype="str"), axis=0)
