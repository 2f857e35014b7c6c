"""Exact tests across groups: every relabelling of small cohorts, R's values, and cases worked out by hand."""

from itertools import permutations, product
from math import comb, prod

import numpy as np
import pandas as pd
import pytest
from hand_made import ADAE, ADEX, UNFLAGGED, load_hand_made
from hypothesis import given
from hypothesis import strategies as st
from r_values import REFERENCE
from scipy import stats

from nkhcc_helpers.safety import relation
from nkhcc_helpers.safety.counts import ANY_RELATED, ANY_TERM, count_by_term, list_terms
from nkhcc_helpers.safety.relation import calculate_groups_p, calculate_trend_p, compare_groups, list_scores

COHORTS = st.lists(
    st.integers(1, 5).flatmap(lambda size: st.tuples(st.integers(0, size), st.just(size))),
    min_size=2,
    max_size=5,
)


def list_tables(events, sizes):
    """Every table with these margins, and in how many ways the patients with the event can give it."""
    tables = [x for x in product(*(range(size + 1) for size in sizes)) if sum(x) == sum(events)]
    return tables, [prod(comb(size, k) for size, k in zip(sizes, x, strict=True)) for x in tables]


def add_up(tables, ways, distance, rejects):
    """P of each table: the share of ways that are as far as `rejects` says."""
    return [
        sum(w for far, w in zip(distance, ways, strict=True) if rejects(far, own)) / sum(ways)
        for own in distance
    ]


@pytest.mark.parametrize(
    ("labels", "with_event"), [("aabbbccc", (0, 3, 6, 7)), ("aabbcc", (4, 5)), ("abbccd", (0, 1, 2))]
)
def test_p_values_are_shares_of_all_relabellings(labels, with_event):
    groups = sorted(set(labels))
    counts = {}
    for relabelled in permutations(labels):
        table = tuple(sum(relabelled[i] == group for i in with_event) for group in groups)
        counts[table] = counts.get(table, 0) + 1
    observed = tuple(sum(labels[i] == group for i in with_event) for group in groups)
    sizes = [labels.count(group) for group in groups]
    n_all, scores = sum(counts.values()), range(1, len(groups) + 1)
    totals = {table: sum(s * x for s, x in zip(scores, table, strict=True)) for table in counts}
    mean = sum(totals[table] * count for table, count in counts.items()) / n_all
    far = abs(totals[observed] - mean) - 1e-9
    trend = sum(count for table, count in counts.items() if abs(totals[table] - mean) >= far) / n_all
    likely = sum(count for count in counts.values() if count <= counts[observed]) / n_all
    assert calculate_trend_p(observed, sizes).p_value == pytest.approx(trend)
    assert calculate_groups_p(observed, sizes).p_value == pytest.approx(likely)


@given(cohort=COHORTS, data=st.data())
def test_p_values_are_those_of_every_table(cohort, data):
    events, sizes = zip(*cohort, strict=True)
    scores = data.draw(
        st.lists(st.sampled_from([0.5, 1, 1.25, 2, 8]), min_size=len(sizes), max_size=len(sizes)).filter(
            lambda each: len(set(each)) > 1
        )
    )
    tables, ways = list_tables(events, sizes)
    totals = [sum(s * x for s, x in zip(scores, table, strict=True)) for table in tables]
    mean = sum(events) * sum(s * n for s, n in zip(scores, sizes, strict=True)) / sum(sizes)
    distance = [abs(total - mean) for total in totals]
    trend = add_up(tables, ways, distance, lambda far, own: far >= own - 1e-9)
    likely = add_up(tables, ways, ways, lambda way, own: way <= own)
    place = tables.index(events)
    for found, expected in (
        (calculate_trend_p(events, sizes, scores), trend),
        (calculate_groups_p(events, sizes), likely),
    ):
        assert found.p_value == pytest.approx(expected[place], rel=1e-9)
        assert found.smallest == pytest.approx(min(expected), rel=1e-9)
        assert (found.is_exact, found.error) == (True, 0)


@pytest.mark.parametrize("row", pd.read_csv(REFERENCE / "fisher_test.csv").to_dict("records"))
def test_p_values_of_r(row):
    events, sizes, scores = (np.fromstring(row[key], sep=" ") for key in ("events", "sizes", "scores"))
    assert calculate_groups_p(events, sizes).p_value == pytest.approx(row["p_groups"], rel=1e-6)
    assert calculate_trend_p(events, sizes, scores).p_value == pytest.approx(row["p_trend"], rel=1e-6)


def test_three_patients_in_each_of_two_groups():
    # All three of one group and nobody of the other: 1 of the 20 ways to choose 3 of 6, and its mirror.
    for calculate in (calculate_trend_p, calculate_groups_p):
        assert calculate([3, 0], [3, 3]).p_value == pytest.approx(2 / 20)
        assert calculate([3, 0], [3, 3]).smallest == pytest.approx(2 / 20)
        # One patient of six: nothing can be shown.
        assert calculate([1, 0], [3, 3]).p_value == pytest.approx(1)
        assert calculate([1, 0], [3, 3]).smallest == pytest.approx(1)


def test_smallest_p_of_the_shape_of_the_trial():
    # 4 of 18, groups 3, 5, 6, 4. Trend: T is farthest from its mean, 4 x 47 / 18 = 10.44, at 4 x 4 = 16
    # (1 way, 5.56 away) and not at 3 x 1 + 1 x 2 = 5 (5 ways, 5.44 away): 1 of 3060. Groups: the same table.
    found = calculate_trend_p([0, 1, 2, 1], [3, 5, 6, 4])
    assert found.smallest == pytest.approx(1 / comb(18, 4))
    assert calculate_groups_p([0, 1, 2, 1], [3, 5, 6, 4]).smallest == pytest.approx(1 / comb(18, 4))


def test_nobody_or_everybody_with_the_event():
    for calculate in (calculate_trend_p, calculate_groups_p):
        for events in ([0, 0, 0], [3, 5, 6]):
            found = calculate(events, [3, 5, 6])
            assert (found.p_value, found.smallest, found.is_exact) == (1, 1, True)


def test_empty_groups_are_left_out():
    for calculate in (calculate_trend_p, calculate_groups_p):
        assert calculate([1, 0, 4], [5, 0, 6]) == calculate([1, 4], [5, 6])
        assert np.isnan(calculate([0, 2], [0, 3]).p_value)
        assert np.isnan(calculate([0, 0], [0, 0]).smallest)
    # An empty group in the middle leaves the others as far apart as they are.
    kept = calculate_trend_p([0, 0, 1, 3], [4, 0, 4, 4], [1, 2, 3, 4])
    assert kept.p_value == calculate_trend_p([0, 1, 3], [4, 4, 4], [1, 3, 4]).p_value
    # Two groups of one score are left.
    assert calculate_trend_p([1, 0, 3], [4, 0, 4], [1, 2, 1]).p_value == 1


def test_scores_count_by_their_distances_alone():
    tables = ([1, 2, 5, 4], [3, 5, 6, 4])
    doses = calculate_trend_p(*tables, [0.5, 1, 1, 1.25]).p_value
    assert calculate_trend_p(*tables, [-5e6, 5e6, 5e6, 1e7]).p_value == pytest.approx(doses, rel=1e-12)
    assert calculate_trend_p(*tables, [1.25, 1, 1, 0.5]).p_value == pytest.approx(
        calculate_trend_p(*tables, [0, 1 / 3, 1 / 3, 1]).p_value
    )


def test_large_groups_agree_with_the_normal_and_chi_square_approximations():
    events, sizes = np.array([160, 180, 151, 169]), np.full(4, 1250)
    share = events.sum() / sizes.sum()
    scores = np.arange(4) - 1.5
    z = (scores @ events) / np.sqrt(share * (1 - share) * (scores**2 @ sizes))
    assert calculate_trend_p(events, sizes).p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.02)
    chi_square = stats.chi2_contingency([events, sizes - events]).pvalue
    assert calculate_groups_p(events, sizes).p_value == pytest.approx(chi_square, rel=0.02)
    # A relation beyond doubt is not lost in rounding.
    assert 0 <= calculate_groups_p([0, 0, 0, 1250], sizes).p_value < 1e-14


def test_random_tables_beyond_what_can_be_counted(monkeypatch):
    tables = ([1, 1, 4, 2], [3, 5, 6, 4])
    exact = calculate_trend_p(*tables).p_value, calculate_groups_p(*tables).p_value
    monkeypatch.setattr(relation, "MOST_STATES", 1)
    for calculate, p_value in zip((calculate_trend_p, calculate_groups_p), exact, strict=True):
        drawn = calculate(*tables, n_draws=20_000, seed=1)
        assert not drawn.is_exact
        assert drawn.error == pytest.approx(np.sqrt(p_value * (1 - p_value) / 20_000), rel=0.1)
        assert abs(drawn.p_value - p_value) < 4 * drawn.error
        assert drawn == calculate(*tables, n_draws=20_000, seed=1)
        assert drawn != calculate(*tables, n_draws=20_000, seed=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [3]), "must match"),
        (([4, 2], [3, 3]), "must not be more than sizes"),
        (([-1, 2], [3, 3]), "events must be whole numbers"),
        (([1, 2], [3, 3.5]), "sizes must be whole numbers"),
        (([np.nan, 2], [3, 3]), "events must be whole numbers"),
    ],
)
def test_tables_that_are_none(arguments, message):
    for calculate in (calculate_trend_p, calculate_groups_p):
        with pytest.raises(ValueError, match=message):
            calculate(*arguments)


@pytest.mark.parametrize("scores", [[1], [1, 1], [1, np.inf], [1, "high"]])
def test_scores_that_are_none(scores, plain_trial):
    with pytest.raises(ValueError, match="scores"):
        calculate_trend_p([1, 2], [3, 3], scores)
    with pytest.raises(ValueError, match="scores"):
        compare_groups(plain_trial, scores=scores)


def test_every_term_is_compared(any_trial):
    compared = compare_groups(any_trial)
    counts = list_terms(count_by_term(any_trial))
    terms = counts[["organ_class", "term"]].drop_duplicates().to_numpy().tolist()
    expected = [[*terms[0], "any"], [*terms[0], "3+"], *([*term, "any"] for term in terms[1:])]
    assert compared[["organ_class", "term", "grade"]].to_numpy().tolist() == expected
    for row in compared.dropna(subset="p_trend").to_dict("records"):
        cell = counts[["organ_class", "term", "grade"]] == [row["organ_class"], row["term"], row["grade"]]
        part = counts[cell.all(axis=1)].set_index("group")
        table = part.loc[any_trial.groups, "n_patients"], part.loc[any_trial.groups, "n_evaluable"]
        assert row["p_trend"] == calculate_trend_p(*table).p_value >= row["trend_smallest"] > 0
        assert row["p_groups"] == calculate_groups_p(*table).p_value >= row["groups_smallest"] > 0
        assert row["n_patients"] == part.loc["All", "n_patients"]
        assert row["is_exact"]
        assert row["p_trend_error"] == row["p_groups_error"] == 0


def test_events_not_collected(load_variant):
    compared = compare_groups(load_variant("adverse_events_not_collected"))
    assert compared["term"].tolist() == [ANY_TERM, ANY_TERM]
    assert compared["n_patients"].isna().all()
    assert compared[["p_trend", "trend_smallest", "p_groups", "groups_smallest"]].isna().all(axis=None)
    assert not compared["is_exact"].any()


def test_no_events(load_variant):
    compared = compare_groups(load_variant("no_adverse_events"))
    assert compared["n_patients"].tolist() == [0, 0]
    assert (compared[["p_trend", "p_groups"]] == 1).all(axis=None)


def test_grades_that_nobody_recorded(tmp_path):
    ungraded = ADAE.replace("General,1", "General,").replace("General,3", "General,")
    ungraded = ungraded.replace("Infections,5", "Infections,").replace("Chest,2", "Chest,")
    ungraded = ungraded.replace("General,4", "General,").replace("General,2", "General,")
    compared = compare_groups(load_hand_made(tmp_path, adae=ungraded)).set_index(["term", "grade"])
    assert pd.isna(compared.loc[(ANY_TERM, "3+"), "n_patients"])
    assert np.isnan(compared.loc[(ANY_TERM, "3+"), "p_groups"])
    assert compared.loc[(ANY_TERM, "any"), "n_patients"] == 3


def test_group_in_which_nobody_was_treated(tmp_path):
    infused = "".join(line for line in ADEX.splitlines(keepends=True) if not line.startswith(("s3", "s5")))
    compared = compare_groups(load_hand_made(tmp_path, adex=infused, adae=UNFLAGGED))
    assert compared["p_trend"].isna().all()
    assert (compared.loc[compared["grade"] == "any", "n_patients"] > 0).all()


def test_hand_made_events(tmp_path):
    compared = compare_groups(load_hand_made(tmp_path)).set_index(["term", "grade"])
    # Two treated in each group. Fever: s1 and s2 of L, s5 of H; one of the four has none: every table alike.
    assert compared.loc[("Fever", "any"), ["n_patients", "p_trend", "p_groups"]].tolist() == pytest.approx(
        [3, 1, 1]
    )
    # Grade 3 or more: s1 and s2, both of L: 1 of the 6 ways to choose 2 of 4, and its mirror.
    assert compared.loc[(ANY_TERM, "3+"), "p_trend"] == pytest.approx(2 / 6)
    assert compared.loc[(ANY_TERM, "3+"), "trend_smallest"] == pytest.approx(2 / 6)
    related = compare_groups(load_hand_made(tmp_path / "again"), related_only=True)
    assert related["term"].tolist() == [ANY_RELATED, ANY_RELATED, "Fever"]
    assert related["n_patients"].tolist() == [2, 1, 2]


def test_scores_are_the_arms_order_unless_given(plain_trial):
    assert compare_groups(plain_trial).equals(compare_groups(plain_trial, scores=[1, 2, 3, 4]))
    assert not compare_groups(plain_trial).equals(compare_groups(plain_trial, scores=[1, 2, 2, 9]))
    with pytest.raises(ValueError, match="n_draws"):
        compare_groups(plain_trial, n_draws=0)


def test_scores_by_dose_are_the_planned_doses(plain_trial, tmp_path):
    # Of the trial made by hand L plans a dose of 1 and H of 2; of the other A 0.5, B and C 1, D 1.25.
    assert list_scores(load_hand_made(tmp_path), "dose").to_dict() == {"L": 1, "H": 2}
    assert list_scores(plain_trial, "dose").tolist() == [0.5, 1, 1, 1.25]
    assert list_scores(plain_trial).to_dict() == {"A": 1, "B": 2, "C": 3, "D": 4}
    by_dose = compare_groups(plain_trial, scores="dose")
    assert by_dose.equals(compare_groups(plain_trial, scores=[0.5, 1, 1, 1.25]))
    assert not by_dose.equals(compare_groups(plain_trial))
    with pytest.raises(ValueError, match="scores must be one of equal, dose; got 'doses'"):
        compare_groups(plain_trial, scores="doses")
