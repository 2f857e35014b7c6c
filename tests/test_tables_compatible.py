import compatible_frames as made
import numpy as np
import pytest
import shown_frames as frames
from table_texts import read, row

from nkhcc_helpers.identification.statistics import Statistic, list_statistics
from nkhcc_helpers.report import names as names_module
from nkhcc_helpers.report import tables

TABLES = {
    "claims": lambda kind, trial: tables.format_claims(made.make_claimed(kind), trial),
    "assumptions": lambda kind, trial: tables.format_assumptions(made.make_claimed(kind), trial),
    "diagnostics": lambda kind, trial: tables.format_cohort_diagnostics(made.make_diagnosed(), trial),
    "answers": lambda kind, trial: tables.format_answers(made.make_answers(kind), trial),
    "signs": lambda kind, trial: tables.format_signs(made.make_signs(kind), trial),
    "conclusions": lambda kind, trial: tables.format_conclusions(made.make_conclusions(kind), trial),
    "narrowing": lambda kind, trial: tables.format_narrowing(
        made.make_narrowing(kind), trial, names_module.list_claim_labels(made.make_claimed(kind), trial)
    ),
}


@pytest.mark.parametrize("kind", list(frames.ARMS))
@pytest.mark.parametrize("name", list(TABLES))
def test_no_raw_name_and_no_number_that_is_none(name, kind):
    cells = " ".join(cell for cells in read(TABLES[name](kind, frames.make_trial(kind))) for cell in cells)
    words = {word.strip("(),;:") for word in cells.split()}
    assert not words & {"nan", "inf", "None", "pair_p", "rmst", "log2", "firth", "PFS", "OS"}
    assert "_" not in cells.replace(frames.HOSTILE, "")


def test_a_claim_stands_for_all_that_round_to_it():
    table = tables.format_claims(made.make_claimed(), frames.make_trial())
    shown = read(table)
    assert row(table, "A: low dose x 4") == ["A: low dose x 4", "3", "3"]
    assert ["Median, B: normal dose x 4", "4.0", "3.95 to 4.05"] in shown
    assert row(table, "Log-rank P")[1:] == ["0.0403", "0.04025 to 0.04035"]
    assert row(table, "Longest follow-up (years)")[1:] == ["9", "8.5 to 9.5"]
    headings = [cells[0] for cells in shown if len(cells) == 1]
    assert headings[1:5] == ["Patients", "Progression-free survival", "Overall survival", "Follow-up"]


def test_assumptions_in_words():
    censored = [{"endpoint": "OS", "fewest": 1, "most": 3, "earliest": 2.0, "latest": 60.0}]
    claimed = made.make_claimed(
        prior="uniform", recorded_unit="months", recorded_decimals=1, censored=censored
    )
    table = tables.format_assumptions(claimed, frames.make_trial())
    assert row(table, "Times are recorded in")[1] == "months with 1 decimal"
    assert row(table, "Prior on each time, before any claim")[1] == "even (uniform)"
    assert row(table, "Patients censored, progression-free survival")[1] == "none"
    assert row(table, "Patients censored, overall survival")[1] == "1 to 3, from 2 months on up to 60 months"
    order = row(table, "Order of the endpoints in each patient")[1]
    assert order == "progression-free survival never longer than overall survival; else independent"
    assert row(table, "Longest follow-up")[1] == "longest time of overall survival, with or without the event"


def test_diagnostics():
    table = tables.format_cohort_diagnostics(made.make_diagnosed(), frames.make_trial())
    assert row(table, "Ordered trend, P by permutation")[1:] == ["0.0123", "812", "1.004", "-0.5"]
    assert row(table, "Without the event at 12 months, A: low dose x 4")[1:] == ["0 %", "NE", "NE", "NE"]


def test_answers_with_and_without_bounds():
    trial = frames.make_trial()
    table = tables.format_answers(made.make_answers(), trial)
    assert row(table, "Log-rank P by permutation")[1:] == [
        "0.0040", "0.0020 to 0.0080", "0.0016 to 0.0100", "0.0012 to 0.0120"
    ]  # fmt: skip
    assert row(table, "Without the event at 12 months, D: incremental dose x 8")[1:] == ["NE"] * 4
    assert any("at least as wide" in cells[0] for cells in read(table))
    short = tables.format_answers(made.make_answers(bounds=False), trial)
    assert len(row(short, "Log-rank P by permutation")) == 4
    assert not any("at least as wide" in cells[0] for cells in read(short))


def test_signs():
    table = tables.format_signs(made.make_signs(), frames.make_trial())
    assert row(table, "Dose in doublings; as assumed")[2:] == [
        "1.10",
        "0.60 to 2.00",
        "0.50 to 3.00",
        "25 %",
        "0 %",
    ]
    assert row(table, "Dose as it is; dose 0.25 in A: low dose x 4")[4] == "<0.0001 to >9999"
    assert row(table, "Dose in doublings; infusions 16 in A: low dose x 4")[2:5] == ["NE"] * 3
    assert row(table, "Dose in doublings; infusions 16 in A: low dose x 4")[6] == "100 %"


def test_conclusions():
    table = tables.format_conclusions(made.make_conclusions(), frames.make_trial())
    assert row(table, "The groups differ (log-rank, permutation)")[1:] == [
        "0.0066 to 0.0097",
        "100 %",
        "In all",
    ]
    pair = "A: low dose x 4 and B: normal dose x 4 differ (exact log-rank)"
    assert row(table, pair)[1:] == ["0.0600 to NE", "0 %", "In none"]
    ratio = "The higher the number of infusions, the later the event, all else equal (partial likelihood)"
    assert row(table, ratio)[1:] == ["0.50 to 1.20", "90 %", "In some"]


def test_narrowing():
    trial = frames.make_trial()
    names = names_module.list_claim_labels(made.make_claimed(), trial)
    table = tables.format_narrowing(made.make_narrowing(), trial, names)
    assert row(table, "Log-rank P")[1:] == ["0.0100 to 0.2000", "2.3"]
    assert read(table)[3][0] == "With all claims"


def test_groups_with_hyphens_in_their_codes_keep_their_names():
    trial = frames.make_trial()
    trial.group_labels = {"A": "One", "A-B": "Two", "B": "Three"}
    trial.groups = list(trial.group_labels)
    named = names_module.list_statistic_labels(list_statistics(trial.groups), trial)
    assert named[Statistic("pair_p", "A-B", "A")] == "One against Two"
    assert named[Statistic("pair_p", "B", "A-B")] == "Two against Three"
    assert named[Statistic("median", "A-B")] == "Median, Two"
    assert names_module.show_value(np.nan, Statistic("rate", at=12)) == "NE"
