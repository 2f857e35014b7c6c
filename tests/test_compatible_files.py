"""Compatible cohorts on disk: read back as written, refused for other claims, gone on with after a cut."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from claimed_trials import QUICK, SMALL, claim_trial, median
from click.testing import CliRunner
from hand_cohorts import by_name

from nkhcc_helpers import cli
from nkhcc_helpers.compatible import cohorts as cohorts_module
from nkhcc_helpers.compatible.cohorts import (
    COHORTS,
    PARTS,
    describe_file,
    fingerprint,
    load_cohorts,
    make_cohorts,
    read_claimed,
    read_design,
    sample_compatible,
    save_cohorts,
)
from nkhcc_helpers.identification.bounds import BOUNDS_FILE as BOUNDS
from nkhcc_helpers.identification.bounds import find_bounds, make_bounds
from nkhcc_helpers.identification.statistics import calculate_statistics
from nkhcc_helpers.survival.many import permute_logrank_many
from nkhcc_helpers.trial.trial import locate_bundled

CLAIMED = claim_trial({"A": 2, "B": 2}, [median(3, group="A")], censored=[{"endpoint": "OS", "most": 1}])


@pytest.fixture(scope="module")
def sample():
    return sample_compatible(CLAIMED, n_cohorts=30, seed=1, jobs=1, effort=SMALL)


def assert_same(one, other):
    for name in ("times", "events", "chain", "block", "late"):
        assert (getattr(one, name) == getattr(other, name)).all(), name


def test_cohorts_are_read_back_as_written(sample, tmp_path):
    path = save_cohorts(sample, tmp_path / COHORTS)
    again = load_cohorts(path, CLAIMED)
    assert_same(sample, again)
    assert again.seed == 1
    assert describe_file(path)["n_cohorts"] == 30
    frame = sample.to_frame()
    assert len(frame) == 30 * 4
    assert frame.loc[frame["cohort"] == 7, "time"].tolist() == sample.times[7, 0].tolist()


def test_cohorts_of_other_claims_or_assumptions_are_refused(sample, tmp_path):
    path = save_cohorts(sample, tmp_path / COHORTS)
    for other in (CLAIMED.keep([median(4, group="A")]), CLAIMED.assume(longest=7)):
        with pytest.raises(ValueError, match="made from other claims or assumptions"):
            load_cohorts(path, other)


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    whole = make_cohorts(CLAIMED, tmp_path / "whole", n_cohorts=30, seed=1, jobs=1, effort=SMALL)
    drawn = []

    def draw_one(argument):
        if drawn:
            raise KeyboardInterrupt
        drawn.append(argument)
        return draw_block(argument)

    draw_block = cohorts_module.draw_block
    monkeypatch.setattr(cohorts_module, "draw_block", draw_one)
    with pytest.raises(KeyboardInterrupt):
        make_cohorts(CLAIMED, tmp_path / "cut", n_cohorts=30, seed=1, jobs=1, effort=SMALL)
    assert not (tmp_path / "cut" / COHORTS).exists()
    assert len(list((tmp_path / "cut" / PARTS).rglob("*.npy"))) == 1
    again = []
    monkeypatch.setattr(cohorts_module, "draw_block", lambda each: again.append(each) or draw_block(each))
    path = make_cohorts(CLAIMED, tmp_path / "cut", n_cohorts=30, seed=1, jobs=1, effort=SMALL)
    assert len(again) == 1
    assert path.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "cut" / PARTS).exists()


def test_the_bundled_cohorts_belong_to_the_bundled_claims():
    folder = locate_bundled()
    cohorts = load_cohorts(folder / COHORTS, read_claimed(folder))
    assert len(cohorts) == 1_000
    assert describe_file(folder / COHORTS)["sha256"] in (folder / "README.md").read_text()
    first, second = (cohorts.of(code)[0] for code in ("PFS", "OS"))
    assert (first <= second).all()
    assert np.isfinite(cohorts.times).all()


def test_the_headline_of_the_readme():
    folder = locate_bundled()
    claimed = read_claimed(folder)
    cohorts = load_cohorts(folder / COHORTS, claimed)
    bounds = pd.read_csv(folder / BOUNDS).set_index(["endpoint", "statistic"])
    assert (bounds["fingerprint"] == fingerprint(claimed)).all()
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for code, verdict in (("PFS", "all"), ("OS", "none")):
        lowest, highest = bounds.loc[(code, "permutation_p"), ["lowest", "highest"]]
        outward = np.floor(1_000 * lowest) / 1_000, np.ceil(1_000 * highest) / 1_000
        assert "{:.3f} to {:.3f}: below 0.05 in {}".format(*outward, verdict) in readme
        drawn = permute_logrank_many(*cohorts.of(code), claimed.codes, n_draws=20_000).p_value
        error = 4 * np.sqrt(highest / 20_000)
        assert ((drawn > lowest - error) & (drawn < highest + error)).all()
        assert (drawn < 0.05).all() if verdict == "all" else (drawn > 0.05).all()
        for covariate in ("dose", "infusions"):
            ratio = bounds.loc[(code, f"hr {covariate} (firth)")]
            assert ratio["lowest"] < 1 < ratio["highest"]


def test_the_bundled_bounds_hold_the_bundled_cohorts():
    folder = locate_bundled()
    cohorts = load_cohorts(folder / COHORTS, read_claimed(folder))
    bounds = pd.read_csv(folder / BOUNDS).set_index(["endpoint", "statistic"])
    statistics = calculate_statistics(cohorts, n_draws=1)
    for endpoint, each in statistics:
        values = each.place_not_reached(statistics[endpoint, each])
        if each.kind not in ("permutation_p", "trend_p"):  # drawn, with an error
            assert bounds.loc[(endpoint, each.name), "lowest"] <= np.nanmin(values) + 1e-9
            assert bounds.loc[(endpoint, each.name), "highest"] >= np.nanmax(values) - 1e-9


def test_bounds_of_every_reported_statistic_are_written_and_hold_the_sample(sample, tmp_path):
    metadata = read_design(locate_bundled())
    search = partial(find_bounds, n_chains=6, n_sweeps=2, effort=SMALL)
    path = make_bounds(sample, metadata, tmp_path, find=search, n_draws=200, n_search_draws=50, jobs=1)
    bounds = pd.read_csv(path).set_index(["endpoint", "statistic"])
    statistics = calculate_statistics(sample, n_draws=200)
    ratios = {"hr dose (firth)", "hr infusions (firth)", "hr dose (partial)", "hr infusions (partial)"}
    assert set(bounds.index) == {*by_name(statistics).columns, *(("OS", ratio) for ratio in ratios)}
    for name in (each for each in statistics if not each[1].is_p_value):
        known = statistics[name].dropna()
        if len(known):
            endpoint, each = name
            assert bounds.loc[(endpoint, each.name), "lowest"] <= known.min() + 1e-9
            assert bounds.loc[(endpoint, each.name), "highest"] >= known.max() - 1e-9


def test_the_command_writes_cohorts_and_names_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(cohorts_module, "make_cohorts", partial(make_cohorts, effort=QUICK))
    folder = locate_bundled()
    missing = CliRunner().invoke(cli.main, ["compatible", "--claims", str(tmp_path), "--out", str(tmp_path)])
    assert missing.exit_code == 2
    assert "trial.yaml" in missing.output
    (tmp_path / "trial.yaml").write_text((folder / "trial.yaml").read_text())
    text = (folder / "published.yaml").read_text()
    # One claim of a time will do: the more there are, the longer cohorts are sought.
    lines = [line for line in text.splitlines() if not re.search("logrank_p|median, .*(PFS|group)", line)]
    (tmp_path / "published.yaml").write_text("\n".join(lines))
    arguments = ["compatible", "--claims", str(tmp_path / "published.yaml"), "--cohorts", "6", "--jobs", "1"]
    done = CliRunner().invoke(cli.main, [*arguments, "--out", str(tmp_path / "made")])
    assert done.exit_code == 0, done.output
    assert "Wrote 6 cohorts" in done.output
    assert len(load_cohorts(tmp_path / "made" / COHORTS, read_claimed(tmp_path))) == 6
