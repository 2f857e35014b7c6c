import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from table_texts import read, row

from nkhcc_helpers import safety
from nkhcc_helpers.report.tables import safety as safety_tables
from nkhcc_helpers.report.tables import safety_timing as timing_tables
from nkhcc_helpers.report.tables.safety_timing import show_definition
from nkhcc_helpers.safety.counts import list_term_names

LEVEL = "A: low dose x 4 (n = 3)"


def test_overview_of_adverse_events():
    table = safety_tables.format_adverse_events(frames.make_overview(), frames.make_trial())
    assert row(table, "Any adverse event")[1:3] == ["1 (33 %) [2]", "1 (20 %) [2]"]
    assert row(table, "Fatal")[1:] == ["0"] * 5
    assert row(table, "Serious")[1:] == ["NE"] * 5
    empty = safety_tables.format_adverse_events(frames.make_overview().iloc[:0], frames.make_trial())
    assert ["None"] in read(empty)


def test_terms_by_worst_grade():
    shown = read(safety_tables.format_terms(frames.make_terms(), frames.make_trial()))
    start = next(i for i, cells in enumerate(shown) if cells[0] == "Pyrexia")
    assert [cells[:2] for cells in shown[start : start + 4]] == [
        ["Pyrexia", "3 (100 %)"],
        ["Grade 1", "2 (67 %)"],
        ["Grade 3", "1 (33 %)"],
        ["Grade 3 or more", "1 (33 %)"],
    ]
    assert shown[start + 6][:3] == ["Grade 1", "0", "1 (20 %)"]


def test_terms_are_headed_by_their_class():
    shown = read(safety_tables.format_terms(frames.make_terms(), frames.make_trial()))
    headings = [cells[0] for cells in shown[2:] if not cells[0].startswith("Grade")]
    assert headings[:6] == [
        "All events",
        "Any adverse event",
        "General disorders",
        "Any event of the class",
        "Pyrexia",
        "Not coded",
    ]
    assert shown[0] == ["Adverse events by organ class, term and worst grade"]
    related = frames.make_terms().replace({"term": {"Any adverse event": "Any related event"}})
    table = safety_tables.format_terms(related, frames.make_trial())
    assert read(table)[0] == ["Related adverse events by organ class, term and worst grade"]


def test_terms_that_a_group_lacks_are_zero():
    frame = frames.make_terms()
    frame = frame[~((frame["group"] == "A") & (frame["grade"] != "missing"))]
    table = safety_tables.format_terms(frame, frames.make_trial())
    assert [row(table, name)[1] for name in ("Pyrexia", "Grade 3 or more")] == ["0", "0"]


def test_no_terms():
    table = safety_tables.format_terms(frames.make_terms().iloc[:0], frames.make_trial())
    assert ["None"] in read(table)


def test_onset():
    table = timing_tables.format_onset(frames.make_onset(), frames.make_trial(), conf_level=0.9)
    assert "Duration: median (90 % CI)" in read(table)[2]
    pyrexia = ["12", "30", "0.5 (0 to 4)", "1.0 (0.0 to 3.0)", "5", "87 %", "0", "0", "0", "2"]
    assert row(table, "Pyrexia")[1:] == pyrexia
    lasting = ["1", "1", "3.0 (3 to 3)", "NE (0.0 to NE)", "-", "0 %", "1", "0", "0", "0"]
    assert row(table, frames.HOSTILE)[1:] == lasting
    assert row(table, "$x$")[1:] == ["1", "1", "-", "-", "-", "NE", "0", "0", "1", "0"]
    notes = " ".join(cell for cells in read(table) for cell in cells)
    assert "end date minus onset date, 0 on the same day" in notes
    assert "Dates do not tell hours" in notes
    assert "Kaplan-Meier" in notes


def test_listing():
    table = safety_tables.format_listing(frames.make_listing(), frames.make_trial(), title="Serious")
    assert read(table)[:2] == [["Serious"], ["2 events"]]
    label = "A: low dose x 4"
    assert row(table, "NK-01")[1:] == [label, "Pyrexia", "3", "15", "2", "0", "Yes", "No", "RECOVERED"]
    assert row(table, "=1+1")[1:] == [label, frames.HOSTILE, "-", "-", "-", "-", "-", "Yes", "-"]
    none = safety_tables.format_listing(frames.make_listing().iloc[:0], frames.make_trial())
    assert read(none)[1] == ["0 events"]


def test_overview_with_limits():
    table = safety_tables.format_adverse_events(frames.make_shares(), frames.make_trial(), conf_level=0.9)
    assert read(table)[1] == ["Patients with at least one (%; 90 % CI) [events]"]
    assert row(table, "Any adverse event")[1] == "1 (33 %; 18 to 78) [2]"
    assert row(table, "Fatal")[1] == "0 (0 %; 0 to 45)"
    assert row(table, "Serious")[1:] == ["NE"] * 5
    assert "Clopper-Pearson" in str(read(table))
    plain = safety_tables.format_adverse_events(frames.make_overview(), frames.make_trial())
    assert "Clopper-Pearson" not in str(read(plain))


def test_a_missing_grade_keeps_its_row():
    frame = frames.make_terms()
    frame["grade"] = frame["grade"].replace({"1": "missing", "missing": "1"})
    shown = read(safety_tables.format_terms(frame, frames.make_trial()))
    assert ["Grade missing", "2 (67 %)", "4 (80 %)", "5 (83 %)", "3 (75 %)", "17 (94 %)"] in shown


def test_by_infusion():
    table = timing_tables.format_by_infusion(frames.make_by_infusion(), frames.make_trial())
    assert read(table)[2] == ["What", "A: low dose x 4", "B: normal dose x 4", "C: normal dose x 8",
                              "D: incremental dose x 8", "All"]  # fmt: skip
    assert row(table, "Infusion 1")[1:3] == ["1/3 (33 %) [2]", "1/5 (20 %) [2]"]
    assert row(table, "Infusion 2")[1:3] == ["-", "1/5 (20 %) [2]"]
    nobody = frames.make_by_infusion().assign(n_patients=0, n_events=0)
    assert row(timing_tables.format_by_infusion(nobody, frames.make_trial()), "Infusion 1")[1] == "0/3"
    last = frames.make_by_infusion().query("infusion == 2").assign(infusion=pd.NA, n_received=pd.NA)
    frame = pd.concat([frames.make_by_infusion().astype({"infusion": "object"}), last])
    frame = frame.astype({"infusion": "Int64", "n_received": "Int64"})
    table = timing_tables.format_by_infusion(frame, frames.make_trial())
    assert row(table, "Infusion not known")[1:3] == ["0", "1 [2]"]
    unknown = frames.make_by_infusion().assign(n_patients=pd.NA, n_events=pd.NA)
    assert row(timing_tables.format_by_infusion(unknown, frames.make_trial()), "Infusion 1")[1] == "NE"


def test_rates_show_their_denominators():
    table = timing_tables.format_rates(frames.make_rates(), frames.make_trial(), conf_level=0.9)
    shown = read(table)
    assert shown[1] == [
        "",
        "Patients with it",
        "Time at risk (months)",
        "First events per patient-month (90 % CI)",
        "Infusions",
        "First events per infusion (90 % CI)",
        "Only outside",
        "Day not known",
    ]
    assert shown[2:5] == [
        ["Any adverse event"],
        ["A: low dose x 4", "0 of 3", "0.0", "NE", "0", "NE", "0", "0"],
        ["B: normal dose x 4", "1 of 4", "4.2", "0.24 (0.01 to 1.31)", "3", "0.24 (0.01 to 1.31)", "1", "1"],
    ]
    # One patient with the term, whose day is not known.
    frame = frames.make_rates().assign(n_patients=0, n_outside=0)
    assert row(timing_tables.format_rates(frame, frames.make_trial()), "B: normal dose x 4")[1] == "NE"
    assert "30 days after the end of the last" in str(shown)
    assert "Garwood" in str(shown)


@pytest.mark.parametrize(
    ("rates", "text"),
    [
        ((0.0, 0.0, 0.012), "0.000 (0.000 to 0.012)"),
        ((0.0, 0.0, 1.84), "0.00 (0.00 to 1.84)"),
        ((4.0, 1.09, 10.24), "4.0 (1.1 to 10.2)"),
        ((np.nan, np.nan, np.nan), "NE"),
    ],
)
def test_rates_keep_digits_where_they_are_small(rates, text):
    frame = frames.make_rates().head(1)
    frame[["rate", "ci_lower", "ci_upper"]] = rates
    assert row(timing_tables.format_rates(frame, frames.make_trial()), "A: low dose x 4")[3] == text


def test_rates_of_what_was_not_recorded():
    frame = frames.make_rates().assign(n_patients=pd.array([pd.NA] * 15, dtype="Int64"), n_infusions=np.nan)
    shown = row(timing_tables.format_rates(frame, frames.make_trial()), "B: normal dose x 4")
    assert (shown[1], shown[4]) == ("NE", "NE")


def test_rates_of_the_first_terms():
    counts = frames.make_terms().query("term != '$x$'")
    options = {"window_days": None, "most": 1}
    # Pyrexia reached grade 3, and so is shown although one row is asked for.
    table = timing_tables.format_rates(frames.make_rates(), frames.make_trial(), counts=counts, **options)
    shown = str(read(table))
    assert "Pyrexia" in shown
    assert frames.HOSTILE not in shown
    left_out = "1 less frequent term, none with grade 3 or more, not shown; the CSV file of this table has"
    assert left_out in shown
    without_grades = timing_tables.format_rates(frames.make_rates(), frames.make_trial(), **options)
    assert frames.HOSTILE in str(read(without_grades))
    assert "from the first infusion to the end of observation; it stops" in shown
    all_of_them = str(
        read(timing_tables.format_rates(frames.make_rates(), frames.make_trial(), counts=counts))
    )
    assert frames.HOSTILE in all_of_them
    assert "not shown" not in all_of_them


def test_dose_limiting():
    definition = frames.make_definition(frames.HOSTILE, "Pyrexia")
    table = timing_tables.format_dose_limiting(frames.make_dose_limiting(), frames.make_trial(), definition)
    shown = read(table)
    assert "observed throughout those days and given at least 2 infusions in them" in str(shown)
    assert "Doses given after those days" in str(shown)
    assert shown[1] == [
        "Related to treatment, grade 3 or more, beginning within 28 days after the first infusion; "
        f"not counted: {frames.HOSTILE}, Pyrexia"
    ]
    assert shown[2][-2:] == ["95 % CI, %", "Upper limit, one-sided 95 %"]
    assert row(table, "A: low dose x 4")[1:] == ["3", "0", "0", "0", "NE", "NE"]
    assert row(table, "B: normal dose x 4")[1:] == ["5", "5", "0", "0", "0 to 50", "45 %"]
    assert row(table, "D: incremental dose x 8")[1:] == ["4", "4", "1 (25 %)", "2", "12 to 75", "70 %"]
    unknown = frames.make_dose_limiting().assign(n_patients=pd.NA, n_events=pd.NA, percent=np.nan)
    table = timing_tables.format_dose_limiting(unknown, frames.make_trial(), definition)
    assert row(table, "A: low dose x 4")[3:5] == ["NE", "NE"]


def test_definition_in_words():
    definition = frames.make_definition()
    definition.grade, definition.related_only, definition.window_days = 5, False, 21
    words = "Whatever its cause, grade 5, beginning within 21 days after the first infusion"
    assert show_definition(definition, "infusion") == words


def test_dose_relation():
    table = timing_tables.format_dose_relation(frames.make_dose_relation(), frames.make_trial())
    assert row(table, "Any adverse event")[1:] == ["18", "-", "1.0000", "-", "1.0000"]
    assert "no P other than 1" in str(read(table))
    severe = row(table, "Any adverse event: grade 3 or more")
    assert severe[1:] == ["2", "0.1234", "0.0196", "0.2345", "0.0588"]
    assert row(table, "Pyrexia")[1:] == ["12", "0.0412 (0.002)", "0.0001", "0.0731 (0.003)", "<0.0001"]
    assert row(table, frames.HOSTILE)[1:] == ["1", "NE", "NE", "NE", "NE"]
    text = str(read(table))
    scores = (
        "Scores of the groups for the trend (equally spaced, whatever their doses): A: low dose x 4: 1; B:"
    )
    assert scores in text
    assert "Monte-Carlo" in text
    exact = frames.make_dose_relation().query("is_exact")
    assert "Monte-Carlo" not in str(read(timing_tables.format_dose_relation(exact, frames.make_trial())))
    none = timing_tables.format_dose_relation(exact.iloc[:0], frames.make_trial(), scores=[0.5, 1, 1, 2])
    assert "(as given): A: low dose x 4: 0.5;" in str(read(none))
    assert ["None", "", "", "", "", ""] in read(none)


def test_dose_relation_by_group():
    frame = frames.make_dose_relation().query("grade == 'any' and term == 'Pyrexia'")
    frame[["p_trend", "p_groups", "p_trend_error"]] = [1 - 1e-12, 1 - 1e-6, 0.0]
    counts = frames.make_terms().astype({"group": "str"})
    shown = row(timing_tables.format_dose_relation(frame, frames.make_trial(), counts=counts), "Pyrexia")
    assert shown[1:4] == ["12", "3/3 5/5 6/6 4/4", "1.0000"]
    assert shown[5].startswith(">0.9999")
    assert "A: low dose x 4, B: normal dose x 4" in str(
        read(timing_tables.format_dose_relation(frame, frames.make_trial(), counts=counts))
    )


def test_differences():
    table = safety_tables.format_differences(frames.make_differences(), frames.make_trial(), conf_level=0.9)
    shown = read(table)
    assert shown[1] == ["Percentage points more than in A: low dose x 4 (90 % CI)"]
    assert shown[2] == ["What", "B: normal dose x 4", "C: normal dose x 8", "D: incremental dose x 8"]
    assert row(table, "Any adverse event")[1:] == ["-10 (-60 to 50)", "-13 (-63 to 47)", "-5 (-55 to 55)"]
    assert row(table, "Serious")[1:] == ["NE"] * 3
    assert ["Interval: exact unconditional, each for itself."] in shown
    none = safety_tables.format_differences(frames.make_differences().iloc[:0], frames.make_trial())
    assert ["None"] in read(none)


def test_differences_by_term_name_the_grade():
    frame = frames.make_terms().query("group == 'B' and grade in ['any', '3+'] and term == 'Pyrexia'")
    frame = frame.assign(
        reference="A", difference=[0.0, -13.3], ci_lower=-40.0, ci_upper=50.0, interval="score"
    )
    table = safety_tables.format_differences(frame, frames.make_trial())
    assert row(table, "Pyrexia")[1] == "0 (-40 to 50)"
    assert row(table, "Pyrexia: grade 3 or more")[1] == "-13 (-40 to 50)"


def test_listing_marks_imputed_days_and_shows_the_action():
    frame = frames.make_listing().assign(action=["DRUG WITHDRAWN", ""], onset_imputed=["day", "month"])
    table = safety_tables.format_listing(frame, frames.make_trial())
    label = "A: low dose x 4"
    assert row(table, "NK-01")[1:7] == [label, "Pyrexia", "3", "15*", "2", "0*"]
    assert row(table, "NK-01")[-2:] == ["DRUG WITHDRAWN", "RECOVERED"]
    assert row(table, "=1+1")[4:] == ["-", "-", "-", "-", "Yes", "-", "-"]
    assert "is imputed" in str(read(table))
    whole = safety_tables.format_listing(frame.assign(onset_imputed=""), frames.make_trial())
    assert "is imputed" not in str(read(whole))


def test_a_listing_cut_short_says_so():
    long = pd.concat([frames.make_listing()] * 300, ignore_index=True)
    markup = safety_tables.format_listing(long, frames.make_trial()).as_raw_html()
    assert "600 events" in markup
    assert "400 of 600 rows are shown; the CSV file of this table has them all." in markup
    whole = safety_tables.format_listing(frames.make_listing(), frames.make_trial())
    assert "are shown" not in str(read(whole))


@pytest.mark.parametrize("kind", list(frames.ARMS))
def test_every_group_is_in_every_table(kind):
    trial = frames.make_trial(kind)
    labels = [label for label, _ in frames.ARMS[kind].values()]
    for table in (
        safety_tables.format_adverse_events(frames.make_overview(kind), trial),
        safety_tables.format_adverse_events(frames.make_shares(kind), trial, conf_level=0.95),
        safety_tables.format_terms(frames.make_terms(kind), trial),
        timing_tables.format_by_infusion(frames.make_by_infusion(kind), trial),
        timing_tables.format_rates(frames.make_rates(kind), trial),
        timing_tables.format_dose_limiting(frames.make_dose_limiting(kind), trial, frames.make_definition()),
        safety_tables.format_differences(frames.make_differences(kind), trial),
    ):
        cells = [cell for cells in read(table) for cell in cells]
        for label in labels:
            assert any(cell.startswith(label) or f"in {label}" in cell for cell in cells), label
        assert not {"nan", "inf", "<NA>", "None", "n_events"} & set(cells)


def test_tables_of_a_trial_from_its_own_frames(any_trial):
    overview, by_term = safety.count_adverse_events(any_trial), safety.count_by_term(any_trial)
    for table in (
        safety_tables.format_adverse_events(safety.estimate_shares(overview), any_trial, conf_level=0.95),
        safety_tables.format_terms(by_term, any_trial),
        safety_tables.format_listing(safety.list_adverse_events(any_trial, which="all"), any_trial),
    ):
        cells = {cell for cells in read(table) for cell in cells}
        assert not {"nan", "inf", "<NA>"} & cells


def test_a_term_bears_its_class_only_where_it_has_two():
    blocks = [
        ("overall", "", "Any adverse event"),
        ("organ class", "Skin", "Any event of the class"),
        ("term", "Skin", "Bleeding"),
        ("term", "Eye", "Bleeding"),
        ("term", "Eye", "Pain"),
        ("term", "Not coded", "Pain"),
        ("term", "Not coded", "Fever"),
    ]
    names = list_term_names(pd.DataFrame(blocks, columns=safety.BLOCK))
    assert list(names) == blocks
    assert list(names.values()) == [
        "Any adverse event",
        "Skin: any event",
        "Bleeding (Skin)",
        "Bleeding (Eye)",
        "Pain",
        "Pain (Not coded)",
        "Fever",
    ]
