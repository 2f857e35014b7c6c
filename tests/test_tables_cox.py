import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from table_texts import read, row

from nkhcc_helpers.report import names, tables
from nkhcc_helpers.report.tables import cox as cox_tables
from nkhcc_helpers.report.tables import cox_checks


def test_hazard_ratios():
    table = cox_tables.format_hazard_ratios(frames.make_ratios(), frames.make_trial(), endpoint="OS")
    shown = read(table)
    assert shown[2:7] == [
        ["Dose and infusions"],
        ["Dose per infusion", "0.37", "0.10 to 1.30", "0.1200"],
        ["Planned infusions", "<0.0001", "NE", "<0.0001"],
        ["Group"],
        ["B: normal dose x 4, against A: low dose x 4", "NE", "NE", "NE"],
    ]
    one = frames.make_ratios().drop(columns="model")
    labels = {"dose": frames.HOSTILE}
    table = cox_tables.format_hazard_ratios(one, frames.make_trial(), endpoint="OS", labels=labels)
    assert row(table, frames.HOSTILE)[1] == "0.37"


def test_model_comparison():
    frame = frames.make_comparison().iloc[:, :8]
    table = cox_tables.format_model_comparison(frame, frames.make_trial(), endpoint="OS")
    assert row(table, "Dose") == ["Dose", "-31.23", "4.25", "1", "0.0393", "6.47", "2", "0.0394"]
    assert row(table, "Order") == ["Order", "NE", "NE", "1", "NE", "NE", "2", "NE"]
    assert row(table, "Group")[-3:] == ["-", "-", "-"]
    short = cox_tables.format_model_comparison(frame.iloc[:, :5], frames.make_trial(), endpoint="OS")
    assert row(short, "Dose") == ["Dose", "-31.23", "4.25", "1", "0.0393"]


def test_proportional_hazards():
    frame = pd.DataFrame(
        {
            "covariate": ["dose", "All"],
            "statistic": [1.234, np.nan],
            "df": [1, 2],
            "p_value": [0.2666, np.nan],
        }
    )
    table = cox_tables.format_proportional_hazards(frame, frames.make_trial())
    assert row(table, "Dose per infusion")[1:] == ["1.23", "1", "0.2666"]
    assert row(table, "All together")[1:] == ["NE", "2", "NE"]


def test_hazard_ratios_with_permutation():
    table = cox_tables.format_hazard_ratios(frames.make_permuted_ratios(), frames.make_trial(), endpoint="OS")
    shown = read(table)
    assert shown[1] == ["", "Hazard ratio", "Likelihood", "Permutation"]
    assert shown[2] == ["95 % CI", "P", "95 % CI", "P"]
    assert row(table, "Dose per infusion")[1:] == [
        "0.37",
        "0.10 to 1.30",
        "0.1200",
        "0.050 to 2.10",
        "0.1512 (exact)",
    ]
    assert row(table, "Planned infusions")[4:] == ["NE to 0.012", "0.0032 (0.0004)"]
    assert row(table, "B: normal dose x 4, against A: low dose x 4")[1:] == ["NE"] * 5
    assert any("exact where all were counted" in cells[0] for cells in shown)


def test_hazard_ratios_with_permuted_p_alone():
    frame = frames.make_permuted_ratios().drop(columns=["exact_lower", "exact_upper", "p_permutation_error"])
    table = cox_tables.format_hazard_ratios(frame, frames.make_trial(), endpoint="OS", conf_level=0.9)
    assert read(table)[2] == ["90 % CI", "P", "P"]
    assert row(table, "Dose per infusion")[-1] == "0.1512"


@pytest.mark.parametrize(("error", "shown"), [(0.0, "exact"), (0.00123, "0.001"), (1e-6, "<0.0001")])
def test_permuted_p_tells_its_error(error, shown):
    frame = frames.make_permuted_ratios().iloc[:1].assign(p_permutation_error=error)
    table = cox_tables.format_hazard_ratios(frame, frames.make_trial(), endpoint="OS")
    assert row(table, "Dose per infusion")[-1] == f"0.1512 ({shown})"


def test_model_comparison_with_permutation_and_aicc():
    table = cox_tables.format_model_comparison(frames.make_comparison(), frames.make_trial(), endpoint="OS")
    shown = read(table)
    assert shown[1] == ["Model", "Log likelihood", "AICc", "Against no covariates", "Against the last model"]
    assert shown[2] == ["Chi-square", "df", "P", "Permuted P"] * 2
    dose = ["4.25", "1", "0.0393", "0.0412 (exact)", "6.47", "2", "0.0394", "0.0611 (0.005)"]
    assert row(table, "Dose")[1:] == ["-31.23", "64.7", *dose]
    assert row(table, "Order")[1:] == ["NE", "NE", "NE", "1", "NE", "NE", "NE", "2", "NE", "NE"]
    assert row(table, "Group")[2:] == ["NE", "10.72", "3", "0.0133", "0.0249 (0.004)", "-", "-", "-", "-"]
    assert any("AICc" in cells[0] and "say nothing" in cells[0] for cells in shown[6:])


def test_attained_cox_marks_what_misses_its_level():
    table = cox_checks.format_attained_cox(frames.make_attained_cox(), frames.make_trial())
    shown = read(table)
    tests = ["Partial, Wald", "Partial, likelihood ratio", "Firth, Wald", "Firth, likelihood ratio"]
    tests.append("Permuted")
    assert shown[3] == tests * 2
    assert shown[2][-2:] == [
        "Percent of trials rejected (nominal 5 %)",
        "Percent of intervals with the truth (nominal 95 %)",
    ]
    dose = row(table, "Dose per infusion")
    assert dose[1:6] == ["4.5 (0.5)", "12.0 (0.5) *", "4.5 (0.5)", "4.5 (0.5)", "4.5 (0.5)"]
    assert dose[6:] == ["90.0 (0.7) *"] * 4 + ["95.5 (0.7)"]
    infusions = row(table, "Planned infusions")
    assert (infusions[5], infusions[10]) == ("NE", "NE")
    all_together = row(table, "All together")
    assert all_together[1:] == ["-", "12.0 (0.5) *", "-", "4.5 (0.5)", "4.5 (0.5)", *["-"] * 5]
    assert ["Trials without answer, at most: Partial, Wald 8.3 %; Partial, likelihood ratio 8.3 %."] in shown


def test_what_events_can_show_is_told_in_words():
    frame = pd.DataFrame({"covariate": ["dose"], "hr_detectable": [4.0], "drift_detectable": [9.5]})
    assert tables.list_detectable(frame, {"dose": "Dose"}) == [
        "Dose: a hazard ratio of 0.25 or 4.00, or one that changes about 9.5-fold from the first event to "
        "the last"
    ]
    nothing = tables.list_detectable(frame.assign(hr_detectable=np.nan, drift_detectable=np.inf), {})
    assert nothing == ["dose: nothing"]
    ratio = tables.list_detectable(frame.assign(drift_detectable=np.nan), {})
    assert ratio == ["dose: a hazard ratio of 0.25 or 4.00"]


def test_methods_have_names():
    assert names.show_method("partial") == "Partial likelihood"


def test_attained_cox_within_three_errors_is_not_marked():
    frame = frames.make_attained_cox().assign(rejected=0.0599, coverage=0.9361, not_estimable=0.0)
    table = cox_checks.format_attained_cox(frame, frames.make_trial())
    assert row(table, "Dose per infusion")[1:] == ["6.0 (0.5)"] * 5 + ["93.6 (0.7)"] * 5
    assert not any("without answer, at most" in cells[0] for cells in read(table))
    table = cox_checks.format_attained_cox(frame, frames.make_trial(), alpha=0.01)
    assert row(table, "Dose per infusion")[1:] == ["6.0 (0.5) *"] * 5 + ["93.6 (0.7) *"] * 5


def test_received():
    table = cox_checks.format_received(
        frames.make_received(), frames.make_trial(), endpoint="PFS", notes=["Note."]
    )
    shown = read(table)
    assert shown[0] == ["Progression-free survival: hazard ratio for one infusion more"]
    assert row(table, "Received in all, as if known at the start (wrong)")[1:] == [
        "18",
        "17",
        "0.51",
        "0.30 to 0.80",
        "<0.0001",
    ]
    assert row(table, "Received by the landmark, from there on")[3:] == ["0.83", "NE", "0.5000"]
    assert row(table, "Planned, from the landmark on")[1:] == ["12", "11", "NE", "NE", "NE"]
    assert ["Landmark: 1.84 months."] in shown
    assert ["Note."] in shown


@pytest.mark.parametrize("change", ["drop", "missing"])
def test_received_without_landmark_says_nothing_of_it(change):
    frame = frames.make_received()
    frame = frame.drop(columns="landmark") if change == "drop" else frame.assign(landmark=np.nan)
    table = cox_checks.format_received(frame, frames.make_trial(), endpoint="PFS")
    assert not any(cells[0].startswith("Landmark:") for cells in read(table))


def test_immortal_time():
    table = cox_checks.format_immortal_time(frames.make_immortal_time(), frames.make_trial())
    assert read(table)[1] == ["2,000 simulated trials in which one hazard holds for everyone"]
    received = row(table, "Received in all, as if known at the start (wrong)")
    assert received[1:] == ["41.2 (1.1) *", "0.61", "0.0 %"]
    assert row(table, "Received so far, changing with time")[1:] == ["6.0 (0.5)", "1.01", "0.1 %"]
    assert row(table, "Planned, from the landmark on")[1:] == ["NE", "NE", "100.0 %"]


def test_codings():
    table = cox_tables.format_codings(frames.make_codings(), frames.make_trial(), endpoint="OS")
    shown = read(table)
    assert shown[2:7] == [
        ["Dose as: dose per infusion"],
        ["Dose per infusion", "0.21", "0.030 to NE", "0.1100", "0.31"],
        ["Planned infusions", "0.72", "0.52 to 0.97", "0.0310", "0.27"],
        ["Dose as: dose per infusion, doublings"],
        ["Dose per infusion, doublings", "NE", "NE", "NE", "NE"],
    ]


def make_every_table(kind):
    trial = frames.make_trial(kind)
    return [
        cox_tables.format_hazard_ratios(frames.make_permuted_ratios(kind), trial, endpoint="OS"),
        cox_checks.format_attained_cox(frames.make_attained_cox(kind), trial),
        cox_checks.format_received(frames.make_received(), trial, endpoint="OS"),
        cox_checks.format_immortal_time(frames.make_immortal_time(), trial),
        cox_tables.format_codings(frames.make_codings(), trial, endpoint="OS"),
        cox_tables.format_model_comparison(frames.make_comparison(), trial, endpoint="OS"),
    ]


@pytest.mark.parametrize("kind", list(frames.ARMS))
def test_no_table_shows_what_is_no_number_or_no_word(kind):
    for table in make_every_table(kind):
        words = {word.strip("(),") for cells in read(table) for cell in cells for word in cell.split()}
        assert not {"nan", "inf", "<NA>", "None", "n_events", "p_permutation"} & words


def test_names_from_data_are_shown_as_text():
    frame = frames.make_comparison().assign(model=[frames.HOSTILE, "$x$", "{{m}}"])
    table = cox_tables.format_model_comparison(frame, frames.make_trial(), endpoint="OS")
    assert [row(table, name)[0] for name in frame["model"]] == list(frame["model"])
    attained = frames.make_attained_cox().assign(model=frames.HOSTILE)
    attained = attained.drop_duplicates(["model", "covariate", "test"])
    assert [frames.HOSTILE] in read(cox_checks.format_attained_cox(attained, frames.make_trial()))
