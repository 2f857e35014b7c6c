"""Tables that agree pass; any number changed is found."""

import pytest

from nkhcc_helpers import safety
from nkhcc_helpers.totals import TotalsError, check_totals


def make_tables(trial):
    listings = ("serious", "fatal", "discontinued", "interrupted", "related")
    return {
        "overview": safety.count_adverse_events(trial),
        "by_term": safety.count_by_term(trial),
        "listings": {which: safety.list_adverse_events(trial, which=which) for which in listings},
    }


def test_tables_of_every_kind_of_trial_agree(any_trial):
    compared = check_totals(any_trial, **make_tables(any_trial))
    assert (compared > 0) == any_trial.metadata.adverse_events.collected


def test_all_events_agree_too(plain_trial):
    tables = {
        "overview": safety.count_adverse_events(plain_trial, emergent_only=False),
        "by_term": safety.count_by_term(plain_trial, emergent_only=False),
        "listings": {},
    }
    check_totals(plain_trial, **tables, emergent_only=False)


@pytest.mark.parametrize(
    ("table", "chosen", "column", "told"),
    [
        ("by_term", {"grade": "1"}, "n_patients", "any against worst grades"),
        ("by_term", {"grade": "4"}, "n_patients", r"3\+ against worst grades"),
        ("by_term", {"grade": "any", "group": "All"}, "n_patients", "all against groups"),
        ("by_term", {"term": safety.ANY_TERM, "grade": "3+"}, "n_patients", "overview against terms, grade3"),
        ("overview", {"category": "any"}, "n_patients", "overview against terms, any"),
        ("overview", {"category": "related", "group": "All"}, "n_patients", "overview, all against groups"),
        ("overview", {"category": "fatal"}, "n_patients", "overview against events, patients of fatal"),
        ("overview", {"category": "any"}, "n_events", "overview against events, events of any"),
        ("overview", {"category": "serious"}, "n_events", "overview against listing, serious"),
    ],
)
def test_one_number_changed_is_found(plain_trial, table, chosen, column, told):
    tables = make_tables(plain_trial)
    changed = tables[table].copy()
    rows = (changed[list(chosen)].astype(str) == list(chosen.values())).all(axis=1)
    changed.loc[changed.index[rows][0], column] += 1
    with pytest.raises(TotalsError, match=told):
        check_totals(plain_trial, **(tables | {table: changed}))


def test_related_events_agree_too(plain_trial):
    tables = make_tables(plain_trial) | {"by_term": safety.count_by_term(plain_trial, related_only=True)}
    check_totals(plain_trial, **tables, related_only=True)


def test_what_is_lost_or_moved_is_found(plain_trial):
    tables = make_tables(plain_trial)
    by_term = tables["by_term"]
    lost = by_term[by_term["term"] != by_term["term"].iloc[-1]]
    with pytest.raises(TotalsError, match="terms that occurred"):
        check_totals(plain_trial, **(tables | {"by_term": lost}))
    with pytest.raises(TotalsError, match="overview against terms"):
        check_totals(plain_trial, **(tables | {"by_term": by_term.iloc[:0]}))
    swapped = by_term.assign(grade=by_term["grade"].replace({"1": "2", "2": "1"}))
    with pytest.raises(TotalsError, match="terms against events"):
        check_totals(plain_trial, **(tables | {"by_term": swapped}))
    halved = by_term.assign(percent=by_term["percent"] / 2)
    with pytest.raises(TotalsError, match="percentage"):
        check_totals(plain_trial, **(tables | {"by_term": halved}))


def test_a_row_missing_from_a_listing_is_found(plain_trial):
    tables = make_tables(plain_trial)
    tables["listings"]["related"] = tables["listings"]["related"].iloc[1:]
    with pytest.raises(TotalsError, match="overview against listing, related"):
        check_totals(plain_trial, **tables)


def test_many_disagreements_are_told_shortly(plain_trial):
    tables = make_tables(plain_trial)
    tables["by_term"] = tables["by_term"].assign(n_patients=range(len(tables["by_term"])))
    with pytest.raises(TotalsError, match=r"and \d+ more$"):
        check_totals(plain_trial, **tables)
