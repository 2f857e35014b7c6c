"""The illustrative reconstruction: same seed, same bytes; other seeds, other trials with the same claims."""

import shutil

import pandas as pd
import pytest
from click.testing import CliRunner

from data.nkhcc.draw_trial import DEFAULT_SEED, draw_trial, main, write_reconstruction
from nkhcc_helpers.identification.published import compare_published
from nkhcc_helpers.trial.claims import read_published
from nkhcc_helpers.trial.metadata import read_metadata
from nkhcc_helpers.trial.trial import load_trial, locate_bundled

TABLES = ("adsl", "adtte", "adex", "adae")


def test_bundled_tables_are_written_again_byte_for_byte(tmp_path):
    paths = write_reconstruction(tmp_path, seed=DEFAULT_SEED)
    assert [path.name for path in paths] == [f"{name}.csv" for name in TABLES]
    for path in paths:
        assert path.read_bytes() == (locate_bundled() / path.name).read_bytes(), path.name


def test_default_seed_is_the_documented_one():
    assert DEFAULT_SEED == 20260124
    assert "--seed 20260124" in (locate_bundled() / "README.md").read_text()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_seeds_give_the_published_numbers_too(tmp_path, seed):
    write_reconstruction(tmp_path, seed=seed)
    for name in ("trial.yaml", "published.yaml"):
        shutil.copy(locate_bundled() / name, tmp_path)
    trial = load_trial(tmp_path)
    for convention in ("midpoint", "first"):
        table = compare_published(trial, convention=convention)
        assert table["agrees"].all(), table[~table["agrees"]]


def test_times_dates_and_infusions_hang_together(bundled_trial):
    trial = bundled_trial
    pfs, os = (trial.survival(endpoint).set_index("USUBJID") for endpoint in ("PFS", "OS"))
    assert (pfs["time"] <= os["time"]).all()
    assert (trial.times["ADT"] <= pd.Timestamp(trial.metadata.data_cut_off)).all()
    days = (trial.times["ADT"] - trial.times["STARTDT"]).dt.days
    assert (days / 30.4375).round(4).tolist() == trial.times["AVAL"].tolist()
    last = trial.subjects.set_index("USUBJID")
    progression = last["enrolled"] + pd.to_timedelta((pfs["time"] * 30.4375).round(), unit="D")
    assert (trial.infusions["date"] < trial.infusions["USUBJID"].map(progression)).all()
    received = trial.infusions.groupby("USUBJID").size()
    assert (received <= last["planned_infusions"].reindex(received.index)).all()
    assert (received < last["planned_infusions"].reindex(received.index)).any()
    longest = os["time"].idxmax()
    assert not os.loc[longest, "event"]
    death = trial.adverse_events["USUBJID"].map(last["DTHDT"])
    assert ((trial.adverse_events["onset"] <= death) | death.isna()).all()


def test_claims_that_cannot_be_met_are_reported():
    metadata = read_metadata(locate_bundled() / "trial.yaml")
    published = read_published(locate_bundled() / "published.yaml", metadata)
    claims = [
        claim.model_copy(update={"value": 0.9999}) if claim.kind == "logrank_p" else claim
        for claim in published.claims
    ]
    with pytest.raises(ValueError, match="no cohort found that gives the published PFS medians"):
        draw_trial(metadata, published.model_copy(update={"claims": claims}), max_draws=2)


def test_command_writes_the_tables_and_replaces_others_only_by_force(tmp_path):
    out = tmp_path / "a" / "b"
    call = lambda *more: CliRunner().invoke(main, ["--seed", "1", "--out", str(out), *more])  # noqa: E731
    assert call().exit_code == 0
    drawn = (out / "adsl.csv").read_bytes()
    (out / "trial.yaml").write_text("kept")
    assert call().exit_code == 0
    (out / "adsl.csv").write_text("mine\n")
    refused = call()
    assert refused.exit_code == 1
    assert f"{out} holds other adsl.csv; give --force to replace them" in refused.output
    assert (out / "adsl.csv").read_text() == "mine\n"
    assert call("--force").exit_code == 0
    assert (out / "adsl.csv").read_bytes() == drawn
    assert (out / "trial.yaml").read_text() == "kept"
    (tmp_path / "file").write_text("")
    blocked = CliRunner().invoke(main, ["--out", str(tmp_path / "file" / "x")])
    assert blocked.exit_code == 1
    assert "Error" in blocked.output
