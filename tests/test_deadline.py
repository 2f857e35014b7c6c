"""Work that is ended by a clock: what it reached holds and is marked; what is not ended is unchanged."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from claimed_trials import QUICK, claim_trial, logrank_p, median

from nkhcc_helpers.compatible import cohorts as cohorts_module
from nkhcc_helpers.compatible.checks import check_cohorts, find_conflict
from nkhcc_helpers.compatible.cohorts import (
    COHORTS,
    PARTS,
    OutOfTimeError,
    describe_file,
    load_cohorts,
    make_cohorts,
    sample_compatible,
)
from nkhcc_helpers.compatible.sampling import Effort
from nkhcc_helpers.identification.bounds import bound_statistics, find_bounds
from nkhcc_helpers.identification.narrowing import (
    NARROWING,
    calculate_aims,
    count_dropped,
    drop_claims,
    make_narrowing,
    obtain_narrowing,
)
from nkhcc_helpers.identification.statistics import (
    Design,
    Statistic,
    calculate_hazard_ratios,
    calculate_statistics,
    count_calculated,
)
from nkhcc_helpers.parallel import NEVER, Deadline
from nkhcc_helpers.report import sentences
from nkhcc_helpers.report.page import open_page
from nkhcc_helpers.trial import load_trial

CLAIMED = claim_trial(
    {"A": 2, "B": 3},
    [median(2, endpoint="PFS"), median(3), median(4, group="B"), logrank_p(0.3, decimals=1)],
    endpoints=("PFS", "OS"),
    ordered=("PFS", "OS"),
)
ASKED = {"n_cohorts": 30, "seed": 1, "jobs": 1}


class Looks:
    """A clock that tells how many times it was looked at."""

    n = 0

    def __call__(self):
        self.n += 1
        return self.n

    def end_after(self, n_looks):
        """A small effort that is over after so many looks."""
        return replace(QUICK, until=Deadline(n_looks, clock=self))


@pytest.fixture(scope="module")
def whole():
    return sample_compatible(CLAIMED, **ASKED, effort=QUICK)


@pytest.fixture(scope="module")
def n_needed(whole):
    """Looks until a sample is whole, which is the same as without a clock."""
    looks = Looks()
    timed = sample_compatible(CLAIMED, **ASKED, effort=looks.end_after(1e9))
    assert not whole.is_cut
    assert not timed.is_cut
    for name in ("times", "events", "chain", "block", "late"):
        np.testing.assert_array_equal(getattr(timed, name), getattr(whole, name))
    return looks.n


def test_a_deadline_is_shared_out():
    now = SimpleNamespace(time=100.0)
    deadline = Deadline(160.0, clock=lambda: now.time)
    assert (deadline.left, deadline.is_over, deadline.share(1 / 4).at) == (60.0, False, 115.0)
    now.time = 130.0
    assert deadline.share(1 / 2).share(1 / 3).at == 135.0
    now.time = 170.0
    assert (deadline.left, deadline.is_over, deadline.share(1 / 2).at) == (0.0, True, 160.0)
    assert not NEVER.is_over
    assert NEVER.share(0.1) == NEVER
    assert Effort.within(0).until == NEVER
    assert 50 < Effort.within(1).until.left <= 60
    assert repr(Effort.within(1)) == repr(Effort())  # of which files of parts are named


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "share", [0, 0.001, 0.1, *(pytest.param(each, marks=pytest.mark.slow) for each in (0.3, 0.6)), 0.9]
)
def test_what_time_has_cut_meets_every_claim_all_the_same(n_needed, share):
    cohorts = sample_compatible(CLAIMED, **ASKED, effort=Looks().end_after(share * n_needed))
    assert cohorts.is_cut
    assert (0 if share > 0.5 else -1) < len(cohorts) <= (ASKED["n_cohorts"] if share > 0.8 else 29)
    if len(cohorts):
        assert check_cohorts(cohorts)["meets"].all()
        assert cohorts.take(slice(0, 2)).is_cut
        assert cohorts.join(cohorts).is_cut


def test_a_file_of_a_cut_sample_says_so_and_the_run_goes_on(tmp_path, monkeypatch, whole):
    with pytest.raises(OutOfTimeError, match="time was up before a cohort was found"):
        make_cohorts(CLAIMED, tmp_path, **ASKED, effort=Looks().end_after(0))
    assert not (tmp_path / COHORTS).exists()
    looks, drawn, draw_block = Looks(), [], cohorts_module.draw_block

    def draw_one(argument):
        looks.n += 1_000_000 * len(drawn)
        drawn.append(draw_block(argument))
        return drawn[-1]

    monkeypatch.setattr(cohorts_module, "draw_block", draw_one)
    path = make_cohorts(CLAIMED, tmp_path, **ASKED, effort=looks.end_after(1_000_000))
    assert load_cohorts(path, CLAIMED).is_cut
    assert describe_file(path)["is_cut"]
    assert describe_file(path)["n_cohorts"] == 15
    assert len(list((tmp_path / PARTS).rglob("*.npy"))) == 1
    path = make_cohorts(CLAIMED, tmp_path, **ASKED, effort=QUICK)
    assert len(drawn) == 3
    assert not describe_file(path)["is_cut"]
    np.testing.assert_allclose(load_cohorts(path, CLAIMED).times, whole.times)
    assert not (tmp_path / PARTS).exists()


def test_claims_are_dropped_until_time_is_up(tmp_path):
    only, looks = CLAIMED.only("OS"), Looks()
    asked = {"n_cohorts": 6, "seed": 3, "jobs": 1}
    every = drop_claims(only, calculate_aims, **asked, effort=looks.end_after(1e9))
    assert count_dropped(every, only, ["OS"]) == (3, 3, [])
    trial = SimpleNamespace(source=tmp_path)
    for share, n_expected in ((0, 0), (0.6, 1)):
        effort = Looks().end_after(share * looks.n)
        table = obtain_narrowing(trial, only, ["OS"], **asked, effort=effort)
        n_done, n_asked, missing = count_dropped(table, only, ["OS"])
        assert (n_done, n_asked, len(missing)) == (n_expected, 3, 3 - n_expected)
        assert list(table.columns) == NARROWING
        pd.testing.assert_frame_equal(table, every.head(len(table)), check_dtype=False)
    with pytest.raises(OutOfTimeError, match="what any claim is worth"):
        make_narrowing(only, tmp_path, **asked, effort=Looks().end_after(0))


def test_tests_and_designs_that_time_did_not_reach_are_left_out(whole):
    every = calculate_statistics(whole, n_draws=100)
    assert count_calculated(every, CLAIMED) == (every.shape[1], every.shape[1], [])
    over = Deadline(0.0)
    some = calculate_statistics(whole, n_draws=100, until=over)
    n_done, n_asked, missing = count_calculated(some, CLAIMED)
    assert (n_done, n_asked) == (some.shape[1], every.shape[1])
    assert missing == [each for each in every.columns if each[1].is_p_value]
    pd.testing.assert_frame_equal(some, every[list(some.columns)])
    x = pd.DataFrame({"dose": [0.5, 1.0]}, index=["A", "B"])
    designs = [(Design("relative"), x), (Design("log2"), np.log2(x))]
    assert calculate_hazard_ratios(whole, designs)["design"].nunique() == 2
    assert set(calculate_hazard_ratios(whole, designs, until=over)["design"]) == {designs[0][0]}
    none = whole.take(slice(0, 0))
    assert calculate_hazard_ratios(none, designs).empty
    assert count_calculated(calculate_statistics(none), CLAIMED)[2] == missing


def test_searches_that_time_ended_give_no_bounds(whole):
    wanted = [("OS", Statistic("longest")), ("OS", Statistic("n_censored"))]
    find = partial(find_bounds, n_sweeps=2, n_chains=10, effort=QUICK)
    asked = {"find": find, "jobs": 1}
    every = bound_statistics(whole, wanted, **asked)
    some = bound_statistics(whole, wanted, **asked, until=Deadline(3, clock=Looks()))
    pd.testing.assert_frame_equal(some, every.head(1))
    assert bound_statistics(whole, wanted, **asked, until=Deadline(0.0)).empty


def test_a_conflict_that_time_cut_may_name_too_many_claims():
    claimed = CLAIMED.only("OS").keep([median(2), median(5), median(3, group="A")])
    exact = find_conflict(claimed, effort=QUICK)
    cut = find_conflict(claimed, effort=Looks().end_after(0))
    assert (len(exact.claims), exact.is_cut) == (2, False)
    assert (cut.claims, cut.is_cut) == (claimed.claims, True)
    assert "time was up" in str(cut)
    assert "time was up" not in str(exact)


def test_a_page_says_how_far_it_came(monkeypatch):
    shown = []
    monkeypatch.setattr("nkhcc_helpers.report.page._show", lambda _, text: shown.append(text))
    page = open_page(load_trial(warn=False), "sample")
    assert not page.say_cut("Cohorts", 1_000, 1_000)
    assert not page.say_cut("Cohorts", 1_000, 5_000, is_cut=False)
    assert shown == []
    assert "cut_by_time" not in page.results
    assert page.say_cut("Cohorts", 12, 1_000, is_cut=True)
    assert page.say_cut("Statistics", 1, 2, [("OS", Statistic("trend_p"))])
    assert "Cohorts: 12 of 1,000. What follows" in shown[0]
    assert "nothing is said of it: Ordered trend, P by permutation (Overall survival). What" in shown[1]
    reached = {"Cohorts": {"n_done": 12, "n_asked": 1_000}, "Statistics": {"n_done": 1, "n_asked": 2}}
    assert page.results["cut_by_time"] == reached


def test_progress_in_words():
    tell = sentences.describe_progress
    assert tell(10, 40, 240.0) == "Done in this run: 10 of 40 cohorts; about 4 minutes to go"
    assert tell(10, 40, 0) == "Done in this run: 10 of 40 cohorts"
    assert tell(40, 40, 0) == "Done in this run: 40 of 40 cohorts"
