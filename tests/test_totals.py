"""Tables that agree pass, and agree with those counted by other code; any number changed is found."""

from functools import cache

import pytest
from generated import FEWER
from hand_made import load_hand_made
from hypothesis import given
from made_events import EVENTS, replace_events
from oracles import safety_comparison
from oracles.safety_recounts import recount_by_infusion, recount_dose_limiting, recount_onset, recount_rates

from nkhcc_helpers import safety
from nkhcc_helpers.safety.totals import TotalsError, check_totals


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
    with pytest.raises(TotalsError, match="terms and classes that occurred"):
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


# Tables of when and how long, counted anew from the events


def make_timing(trial, definition=None, **options):
    definition = definition or safety.Definition()
    return {
        "rates": safety.estimate_rates(trial, **options),
        "onset": safety.summarize_onset(trial, **options),
        "by_infusion": safety.count_by_infusion(trial, **options),
        "dose_limiting": safety.count_dose_limiting(trial, definition),
        "definition": definition,
    }


def recount(trial, tables, timing, **options):
    """What disagrees with the recount by other code, and how many pairs it compared."""
    recounted = timing | {"by_term": tables["by_term"]}
    return safety_comparison.list_disagreements(trial, recounted, definition=timing["definition"], **options)


def test_tables_of_timing_of_every_kind_of_trial_agree(any_trial):
    tables, timing = make_tables(any_trial), make_timing(any_trial)
    compared = check_totals(any_trial, **tables, **timing) - check_totals(any_trial, **tables)
    # Who received which infusion, and who was treated and evaluable, is known without adverse events too.
    assert compared > 0
    assert recount(any_trial, tables, timing) == ([], compared)


def test_tables_of_timing_agree_with_other_options(small_trial):
    definition = safety.Definition(grade=2, related_only=False, window_days=7, fewest_infusions=2)
    options = {"related_only": True, "emergent_only": False}
    tables = make_tables(small_trial) | {
        "overview": safety.count_adverse_events(small_trial, emergent_only=False),
        "by_term": safety.count_by_term(small_trial, **options),
        "listings": {},
    }
    timing = make_timing(small_trial, definition, **options)
    timing["rates"] = safety.estimate_rates(small_trial, window_days=None, **options)
    check_totals(small_trial, **tables, **timing, window_days=None, **options)
    assert not recount(small_trial, tables, timing, window_days=None, **options)[0]
    with pytest.raises(TotalsError, match="rates"):
        check_totals(small_trial, **tables, **timing, window_days=5, **options)


RECOUNTS = {
    each.__name__: cache(each)
    for each in (recount_rates, recount_onset, recount_by_infusion, recount_dose_limiting)
}


@pytest.fixture(scope="module")
def plain_tables(plain_trial):
    return make_tables(plain_trial), make_timing(plain_trial)


@pytest.fixture
def recounted_once():
    """The events of one trial are counted anew once, for all the tables that these are compared with."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in RECOUNTS.items():
            patch.setattr(safety_comparison, name, count)
        yield


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    return load_hand_made(tmp_path_factory.mktemp("hand"))


def test_recounts_of_the_trial_made_by_hand(hand):
    # s1's first fever is on day 1, after one infusion; nobody can place s2's; s5's is on day 9.
    rates = recount_rates(hand)
    fever = rates["term", "General", "Fever", "All"]
    expected = {"n_patients": 2, "n_outside": 0, "n_undated": 1, "days": 1 + 9 + 59, "n_infusions": 1 + 1 + 3}
    assert fever == expected | {"n_at_risk": 3}
    # s2's fever has no day: row 0. s1: a fever after infusion 1, a fever and the rash after 2.
    by_infusion = recount_by_infusion(hand)
    assert by_infusion[0, "L"] == {"n_patients": 1, "n_received": 0, "n_events": 1}
    assert by_infusion[2, "L"] == {"n_patients": 1, "n_received": 1, "n_events": 2}
    onset = recount_onset(hand)["Fever"]
    assert [onset["onset_median"], onset["duration_median"], onset["n_unknown_end"]] == [1, 1, 1]
    assert onset["percent_within_one_day"] == pytest.approx(200 / 3)
    limiting = recount_dose_limiting(hand, safety.Definition(fewest_infusions=2))
    assert limiting["L"] == {"n_treated": 2, "n_evaluable": 1, "n_patients": 1, "n_events": 1}


@FEWER
@given(rows=EVENTS)
def test_random_tables_of_timing_agree(hand, rows):
    trial = replace_events(hand, rows)
    tables = {"overview": safety.count_adverse_events(trial), "by_term": safety.count_by_term(trial)}
    check_totals(trial, **tables, listings={})
    assert not recount(trial, tables, make_timing(trial))[0]


@pytest.mark.parametrize(
    ("table", "row", "column"),
    [
        ("rates", 3, "n_patients"),
        ("rates", 3, "n_outside"),
        ("rates", 5, "time_at_risk"),
        ("rates", 5, "n_infusions"),
        ("rates", 4, "rate"),
        ("rates", 4, "rate_per_infusion"),
        ("onset", 0, "n_events"),
        ("onset", 0, "n_fatal"),
        ("onset", 0, "onset_median"),
        ("onset", 0, "duration_median"),
        ("onset", 0, "duration_maximum"),
        ("onset", 0, "percent_within_one_day"),
        ("by_infusion", 0, "n_received"),
        ("by_infusion", 1, "n_patients"),
        ("by_infusion", 1, "n_events"),
        ("by_infusion", 1, "percent"),
        ("dose_limiting", 0, "n_treated"),
        ("dose_limiting", 0, "n_evaluable"),
        ("dose_limiting", 0, "n_patients"),
        ("dose_limiting", 0, "n_events"),
        ("dose_limiting", 0, "percent"),
    ],
)
@pytest.mark.usefixtures("recounted_once")
def test_one_number_of_timing_changed_is_found(plain_trial, plain_tables, table, row, column):
    tables, timing = plain_tables
    changed = timing[table].copy()
    changed.loc[changed.index[row], column] += 1
    with pytest.raises(TotalsError, match=f"{table.replace('_', '.')}|rates against terms|onset and"):
        check_totals(plain_trial, **tables, **(timing | {table: changed}))
    assert recount(plain_trial, tables, timing | {table: changed})[0]


@pytest.mark.usefixtures("recounted_once")
def test_a_row_of_timing_lost_or_hidden_is_found(plain_trial, plain_tables):
    tables, timing = plain_tables
    for table in ("rates", "onset", "by_infusion", "dose_limiting"):
        lost = timing | {table: timing[table].iloc[:-1]}
        with pytest.raises(TotalsError, match="row of"):
            check_totals(plain_trial, **tables, **lost)
        assert any("row of" in each for each in recount(plain_trial, tables, lost)[0])
    hidden = timing["onset"].assign(duration_median=float("nan"))
    with pytest.raises(TotalsError, match="duration_median"):
        check_totals(plain_trial, **tables, **(timing | {"onset": hidden}))


def test_a_class_counted_wrongly_is_found(plain_trial):
    tables = make_tables(plain_trial)
    by_term = tables["by_term"].copy()
    of_class = by_term["level"] == safety.ORGAN_CLASS
    # One more in a group, in a grade, and in all totals above: only the events tell.
    where = of_class & by_term["group"].astype(str).isin(["A", "All"]) & by_term["grade"].isin(["any", "1"])
    where &= by_term["organ_class"] == by_term.loc[of_class, "organ_class"].iloc[0]
    by_term.loc[where, "n_patients"] += 1
    by_term["percent"] = 100 * by_term["n_patients"].astype(float) / by_term["n_evaluable"]
    with pytest.raises(TotalsError, match=r"terms against events, .*Any event of the class"):
        check_totals(plain_trial, **(tables | {"by_term": by_term}))


def test_dose_limiting_toxicity_is_checked_with_its_definition_only(plain_trial, plain_tables):
    tables, timing = plain_tables
    with pytest.raises(ValueError, match="definition"):
        check_totals(plain_trial, **tables, **(timing | {"definition": None}))
