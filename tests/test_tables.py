import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import shown_frames as frames
from table_texts import read, row

from nkhcc_helpers.report import display, names, numbers, results, tables
from nkhcc_helpers.report.numbers import is_estimable
from nkhcc_helpers.report.tables import cohort as cohort_tables
from nkhcc_helpers.report.tables import survival as survival_tables
from nkhcc_helpers.survival import (
    compare_incidence,
    estimate_km,
    summarize_incidence_at,
    summarize_rmst,
    summarize_survival,
)
from nkhcc_helpers.trial.trial import Trial

LEVEL = "A: low dose x 4 (n = 3)"


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (4.84, 1, "4.8"),
        (12, 0, "12"),
        (-0.04, 1, "0.0"),
        (-1.25, 2, "-1.25"),
        (np.nan, 1, "NE"),
        (np.inf, 1, "NE"),
        (-np.inf, 1, "NE"),
        (None, 1, "NE"),
        (pd.NA, 1, "NE"),
        (pd.NaT, 1, "NE"),
    ],
)
def test_number(value, decimals, shown):
    assert numbers.format_number(value, decimals) == shown


def tell(table):
    return " | ".join(cell for cells in read(table) for cell in cells)


def test_incidence_and_grays_test():
    trial = frames.make_trial()
    group, cause = list("AAABBBBB"), [1, 1, 2, 1, 0, 2, 1, 1]
    frame = pd.DataFrame({"time": range(1, 9), "cause": cause, "group": group})
    table = tables.format_result(summarize_incidence_at(frame, at=[3, 20]), trial, about="OS")
    assert "Overall survival, cumulative incidence at fixed times" in tell(table)
    assert row(table, LEVEL.split(" (n")[0])[1:] == ["1", "67 %", "9 to 99", "67 %"]
    assert "Clopper-Pearson" in tell(table)
    gray = compare_incidence(**frame, n_draws=100)
    shown = tell(tables.format_result(gray, trial, about="OS"))
    assert re.search(
        r"Chi-square \d\.\d\d on 1 df; asymptotic P .*, permuted P \(error\) .*, exact P ", shown
    )
    alone = compare_incidence([1, 2], [1, 2], ["A", "A"])
    assert "No test: that needs two groups" in tell(tables.format_result(alone, trial, about="OS"))


def test_medians_horizons_and_long_curves_say_what_the_data_do_not_tell():
    trial = frames.make_trial()
    frame = pd.DataFrame({"time": [6.94, 13.34, 1, 2], "event": [1, 0, 1, 1], "group": list("AABB")})
    told = tell(tables.format_result(summarize_survival(frame), trial, about="OS"))
    assert "Follow-up, not an event, ends the flat stretch at one half in A: low dose x 4: " in told
    told = tell(tables.format_result(summarize_rmst(frame, tau=20), trial, about="OS"))
    assert "NE in A: low dose x 4" in told
    long = tell(tables.format_result(estimate_km(range(1, 40), [1] * 39), trial, about="OS"))
    assert "The first 20 of 40 steps." in long


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (514_594_080, "514,594,080"),
        (10**15 - 1, "999,999,999,999,999"),
        (np.int64(10**15), "1.0 x 10^15"),
        (196 * 10**400, "2.0 x 10^402"),
    ],
)
def test_large_count(count, shown):
    assert numbers.format_large(count) == shown


def test_interval_and_estimate():
    assert numbers.format_interval(1.23, 9.87, 1) == "1.2 to 9.9"
    assert numbers.format_interval(1.23, np.inf, 1) == "1.2 to NE"
    assert numbers.format_interval(np.nan, np.nan) == "NE"
    assert numbers.format_estimate(4.8, 1, np.inf) == "4.8 (1.0 to NE)"
    assert numbers.format_estimate(np.nan, 1, np.inf) == "NE (1.0 to NE)"
    assert numbers.format_estimate(np.nan, np.nan, np.inf) == "NE"


@pytest.mark.parametrize(
    ("p_value", "shown"),
    [
        (0.0403, "0.0403"),
        (0.0001, "0.0001"),
        (0.00009, "<0.0001"),
        (0.0, "<0.0001"),
        (1.0, "1.0000"),
        (0.99995, ">0.9999"),
        (np.nan, "NE"),
    ],
)
def test_p(p_value, shown):
    assert numbers.format_p(p_value) == shown


@pytest.mark.parametrize(
    ("tick", "shown"), [(1e-05, "0.00001"), (0.0001, "0.0001"), (2.0, "2"), (5e5, "500000"), (1e-09, "1e-09")]
)
def test_ticks_are_of_one_style(tick, shown):
    assert numbers.format_tick(tick) == shown


@pytest.mark.parametrize(
    ("n", "total", "decimals", "shown"),
    [
        (3, 5, 0, "3 (60 %)"),
        (1, 3, 1, "1 (33.3 %)"),
        (0, 5, 0, "0"),
        (0, 0, 0, "0"),
        (5, 5, 0, "5 (100 %)"),
        (1, 1000, 0, "1 (<1 %)"),
        (999, 1000, 0, "999 (>99 %)"),
        (1, 10000, 1, "1 (<0.1 %)"),
        (pd.NA, 5, 0, "NE"),
        (2, 0, 0, "2"),
    ],
)
def test_count(n, total, decimals, shown):
    assert numbers.format_count(n, total, decimals) == shown


def test_percent_not_estimable():
    assert numbers.format_percent(np.nan) == "NE"


def test_display_table_shows_every_kind_of_cell():
    frame = pd.DataFrame(
        {
            "name": ["one", None],
            "whole": [3, 12],
            "part": [0.123, np.inf],
            "flag": [True, False],
            "when": pd.to_datetime(["2014-12-31", None]),
            "count": pd.array([1, pd.NA], dtype="Int64"),
            "other": [("a",), 2.5],
        }
    )
    table = display.display_table(
        frame, title="T", subtitle="S", labels={name: name.upper() for name in frame}, decimals={"part": 2}
    )
    rows = read(table)
    assert rows[0] == ["T"]
    assert rows[1] == ["S"]
    assert rows[2] == ["NAME", "WHOLE", "PART", "FLAG", "WHEN", "COUNT", "OTHER"]
    assert rows[3] == ["one", "3", "0.12", "Yes", "2014-12-31", "1", "('a',)"]
    assert rows[4] == ["-", "12", "NE", "No", "-", "NE", "2.5"]


def test_display_table_wants_a_heading_for_every_column():
    with pytest.raises(ValueError, match="No heading for column n_events: name it in `labels`"):
        display.display_table(pd.DataFrame({"n_events": [1]}), title="T", labels={})
    with pytest.raises(ValueError, match="no columns"):
        display.display_table(pd.DataFrame({"block": [1]}), title="T", row_group="block")


def draw_rows(*arguments, **options):
    layout = display.lay_out_rows(*arguments, **options)
    return display.display_table(layout.cells, **layout.options)


def test_rows_are_laid_out_by_headings_and_those_of_a_block_come_together():
    frame = pd.DataFrame({"of": ["x", "y", "x"], "n": [1, 2, 3], "share": [0.5, np.nan, 1.0]})
    columns = {"Patients": "n", "Share": lambda row: numbers.format_percent(100 * row["share"])}
    table = draw_rows(frame, columns, block=lambda row: f"Block {row['of']}", title="Shares")
    assert read(table)[1:] == [
        ["Patients", "Share"], ["Block x"], ["1", "50 %"], ["3", "100 %"], ["Block y"], ["2", "NE"]
    ]  # fmt: skip
    assert ["None", ""] in read(draw_rows(frame.head(0), columns, title="Shares"))


def test_display_table_without_rows_says_none():
    frame = pd.DataFrame({"block": [], "a": [], "b": []})
    table = display.display_table(frame, title="T", labels={"a": "A", "b": "B"}, row_group="block")
    assert read(table)[1:] == [["A", "B"], ["None", ""]]


HOSTILE_TEXTS = [
    frames.HOSTILE,
    "{{<img src=x onerror=alert(1)>}}",
    "**bold** [a](javascript:alert(1)) {{m^2}}",
    "$x$ and \\(y\\) \\begin{math}z\\end{math}",
    "</style><script>alert(1)</script>",
    "\"' onmouseover='alert(1)",
    "=1+1",
]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_is_shown_as_text_wherever_it_stands(text):
    frame = pd.DataFrame({"block": [text], "row": [text], "cell": [text], "A": [text]})
    table = display.display_table(
        frame,
        title=text,
        subtitle=text,
        labels={"row": text, "cell": text},
        groups={"A": text},
        row_group="block",
        spanners=[(text, ["cell", "A"])],
        notes=[text],
    )
    found = [cell for cells in read(table) for cell in cells]
    assert found == [text] * 11
    markup = table.as_raw_html()
    body = markup[markup.index("<table") :]
    assert "onerror" not in re.sub(r">[^<]*<", "><", body).replace("src-x-onerror", "")
    assert "$x$" not in body
    assert "\\(" not in body


def test_display_table_is_the_same_on_every_run():
    frame = pd.DataFrame({"a": ["x"], "b": [1.5]})
    first, second = (display.display_table(frame, title="T", labels={"a": "", "b": "B"}) for _ in range(2))
    assert first.as_raw_html() == second.as_raw_html()
    other = display.display_table(frame, title="U", labels={"a": "", "b": "B"})
    assert re.search(r'id="(table-\w+)"', first.as_raw_html())[1] not in other.as_raw_html()


def test_numbers_line_up_at_the_point():
    frame = pd.DataFrame({"row": ["a", "b", "c"], "x": ["4.8 (1.2 to 9.0)", "12.61", "NE"]})
    markup = display.display_table(frame, title="T", labels={"row": "", "x": "X"}).as_raw_html()
    styles = re.findall(r'padding:0 ([\d.]+)ch 0 (\d)ch">([^<]*)<', markup)
    # " (1.2 to 9.0)" is longer than "1": only the second cell is padded right; "4" is a digit short of "12".
    assert [(left, text) for _, left, text in styles] == [("1", "4.8 (1.2 to 9.0)"), ("0", "12.61")]
    assert float(styles[0][0]) == 0
    assert float(styles[1][0]) > 5


def test_table_scrolls_in_its_own_box_and_prints_whole():
    markup = display.display_table(pd.DataFrame({"a": ["x"]}), title="T", labels={"a": ""}).as_raw_html()
    assert "overflow-x:auto" in markup
    assert "@media print" in markup


def test_illustrative_is_said_under_the_table():
    frame = frames.make_disposition()
    shown = read(cohort_tables.format_disposition(frame, frames.make_trial()))
    assert shown[-1] == ["Illustrative data, not patient data."]
    real = frames.make_trial(illustrative=False)
    assert "Illustrative" not in cohort_tables.format_disposition(frame, real).as_raw_html()


def test_disposition():
    table = cohort_tables.format_disposition(
        frames.make_disposition(), frames.make_trial(), notes=["A note."]
    )
    assert read(table)[2][:2] == ["What", LEVEL]
    assert read(table)[2][-1] == "All (n = 18)"
    assert row(table, "Enrolled")[1:] == ["3", "5", "6", "4", "18"]
    assert row(table, "Received all planned infusions")[1:3] == ["2 (67 %)", "4 (80 %)"]
    assert row(table, "Received fewer than planned")[1:3] == ["1 (33 %)", "1 (20 %)"]
    assert row(table, "Progressed")[1:] == ["NE"] * 5
    assert row(table, "Alive at data cut-off")[-1] == "1 (6 %)"
    assert row(table, "Lost to follow-up")[1:] == ["0"] * 5
    assert ["A note."] in read(table)


def test_baseline():
    table = cohort_tables.format_baseline(frames.make_baseline(), frames.make_trial())
    shown = read(table)
    assert ["Age (years)"] in shown
    assert ["Sex, n (%)"] in shown
    assert [frames.HOSTILE] in shown
    assert row(table, "Median (range)")[1:3] == ["-", "-"]  # nobody has a value of the first variable
    ages = shown[shown.index(["Age (years)"]) + 1 :]
    assert [cells[:2] for cells in ages[:4]] == [
        ["n", "3"],
        ["Median (range)", "52.5 (41 to 67)"],
        ["Mean (SD)", "52.0 (8.2)"],
        ["Missing", "0"],
    ]
    assert row(table, "Female")[1:] == ["0"] * 5
    assert row(table, "Male")[1:3] == ["3 (100 %)", "5 (100 %)"]


def test_baseline_has_no_sd_of_one_value():
    table = cohort_tables.format_baseline(frames.make_baseline("hostile"), frames.make_trial("hostile"))
    shown = read(table)
    assert shown[shown.index(["Age (years)"]) + 3] == ["Mean (SD)", "52.0 (8.2)", "52.0 (-)", "52.0 (8.2)"]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(1.5, 2.0, "2.00 (1.5 to 2.0)"), (0.123, 2, "2.000 (0.12 to 2.00)"), (4.25, 6711.0, "2.0 (4 to 6711)")],
)
def test_baseline_range_keeps_the_decimals_measured(low, high, shown):
    frame = frames.make_baseline().query("variable == 'AGE'").assign(median=2.0, minimum=low, maximum=high)
    table = cohort_tables.format_baseline(frame, frames.make_trial())
    assert row(table, "Median (range)")[1] == shown


def test_baseline_without_variables_or_labels():
    empty = frames.make_baseline().iloc[:0]
    assert ["None"] in read(cohort_tables.format_baseline(empty, frames.make_trial()))
    bare = frames.make_baseline().query("variable == 'SEX'").assign(level_label="", unit=np.nan)
    assert row(cohort_tables.format_baseline(bare, frames.make_trial()), "F")[1] == "0"
    bare = bare.assign(level="")
    assert row(cohort_tables.format_baseline(bare, frames.make_trial()), "No value")


def test_exposure():
    table = cohort_tables.format_exposure(frames.make_exposure(), frames.make_trial())
    assert row(table, "Planned")[1:] == ["4", "4", "4", "4", "-"]
    assert row(table, "Received, median (range)")[1] == "3.5 (1 to 4)"
    assert row(table, "All planned received, n (%)")[1] == "2 (67 %)"
    assert row(table, "Received dose, median (range)")[1] == "2.25 (0.5 to 10)"
    assert ["Dose: relative to the normal dose."] in read(table)
    unknown = frames.make_exposure().assign(received_dose_median=np.nan)
    table = cohort_tables.format_exposure(unknown, frames.make_trial())
    assert row(table, "Received dose, median (range)")[1] == "-"


def test_follow_up_that_no_end_closes_is_noted():
    summary, trial = frames.make_summary(), frames.make_trial()
    for is_open in (False, True):
        table = cohort_tables.format_follow_up(summary.assign(open_ended=is_open), trial, endpoint="OS")
        assert ("ends flat at one half" in table.as_raw_html()) == is_open


def test_follow_up():
    table = cohort_tables.format_follow_up(frames.make_summary(), frames.make_trial(), endpoint="OS")
    assert read(table)[0] == ["Follow-up for overall survival"]
    assert ["Group", "Patients", "Events", "Median (95 % CI)", "Longest"] in read(table)
    assert row(table, "A: low dose x 4")[1:] == ["3", "2", "NE (0.9 to NE)", "108.0"]
    assert row(table, "All")[1:] == ["18", "17", "12.6 (0.9 to NE)", "108.0"]


def test_endpoint_keeps_its_capitals_within_a_sentence():
    trial = SimpleNamespace(endpoint_labels={"EFS": "EFS by review"})
    assert names.show_endpoint("EFS", trial, within=True) == "EFS by review"
    assert names.show_endpoint("XYZ", trial) == "XYZ"


def test_published():
    frame = pd.DataFrame(
        {
            "claim": [frames.HOSTILE, "P"],
            "published": ["4.8", "0.0008"],
            "reproduced": ["4.8", "NE"],
            "agrees": [True, False],
        }
    )
    table = cohort_tables.format_published(frame, frames.make_trial())
    assert row(table, frames.HOSTILE) == [frames.HOSTILE, "4.8", "4.8", "Yes"]
    assert row(table, "P") == ["P", "0.0008", "NE", "No"]


def test_survival_summary():
    frame, trial = frames.make_summary(), frames.make_trial()
    table = survival_tables.format_survival_summary(
        frame, trial, endpoint="OS", conf_level=0.9, notes=["Method."]
    )
    assert read(table)[2] == ["Group", "Patients", "Events", "Median (90 % CI)", "Range", "Coverage"]
    assert row(table, "B: normal dose x 4")[1:] == ["5", "4", "12.6 (0.9 to NE)", "1.2 to 108.0+", "75 %"]
    assert ["Method."] in read(table)
    table = survival_tables.format_survival_summary(frame.drop(columns="coverage"), trial, endpoint="OS")
    assert "Coverage" not in table.as_raw_html()


def test_landmarks():
    frame = pd.DataFrame(
        {
            "group": ["A", "A", "All", "All"],
            "time": [12.0, 24.5, 12.0, 24.5],
            "n_at_risk": [3, 0, 9, 1],
            "survival": [2 / 3, np.nan, 0.5, 0.004],
            "ci_lower": [0.1, np.nan, 0.25, 0],
            "ci_upper": [0.95, np.nan, 0.75, 0.2],
        }
    )
    shown = read(survival_tables.format_landmarks(frame, frames.make_trial(), endpoint="PFS"))
    assert shown[0] == ["Progression-free survival at fixed times"]
    assert shown[2:8] == [
        ["At 12 months"],
        ["A: low dose x 4", "3", "67 %", "10 to 95"],
        ["All", "9", "50 %", "25 to 75"],
        ["At 24.5 months"],
        ["A: low dose x 4", "0", "NE", "NE"],
        ["All", "1", "<1 %", "0 to 20"],
    ]


def test_curve():
    curve = frames.make_curves().query("group == 'A'")
    table = survival_tables.format_curve(curve, frames.make_trial(), endpoint="OS", group="A")
    assert read(table)[1] == ["A: low dose x 4"]
    assert row(table, "5.00") == ["5.00", "3", "1", "0", "0.6667", "0.1000", "0.9000"]
    assert row(table, "108.00")[-1] == "NE"


def test_comparison():
    comparison = SimpleNamespace(
        statistic=8.293,
        df=3,
        p_asymptotic=0.0403,
        observed=pd.Series([3, 5], ["A", "B"]),
        expected=pd.Series([1.234, 6.766], ["A", "B"]),
    )
    table = survival_tables.format_comparison(comparison, frames.make_trial(), endpoint="OS")
    assert read(table)[1] == ["Chi-square 8.29 on 3 degrees of freedom, P = 0.0403"]
    assert row(table, "A: low dose x 4") == ["A: low dose x 4", "3", "1.23"]
    comparison.df, comparison.p_asymptotic = 1, 1e-9
    table = survival_tables.format_comparison(comparison, frames.make_trial(), endpoint="OS")
    assert read(table)[1] == ["Chi-square 8.29 on 1 degree of freedom, P < 0.0001"]


def test_covariate_labels_follow_the_coding_of_dose():
    labels = names.list_covariate_labels(frames.make_trial(), dose_coding="log2")
    assert labels["dose"] == "Dose per infusion, doublings"
    assert labels["All"] == "All together"


@pytest.mark.parametrize("kind", list(frames.ARMS))
def test_every_group_has_its_column_in_every_trial(kind):
    trial = frames.make_trial(kind)
    headings = [f"{label} (n = {n})" for label, n in frames.ARMS[kind].values()]
    for table in (
        cohort_tables.format_disposition(frames.make_disposition(kind), trial),
        cohort_tables.format_baseline(frames.make_baseline(kind), trial),
        cohort_tables.format_exposure(frames.make_exposure(kind), trial),
    ):
        cells = [cell for cells in read(table) for cell in cells]
        assert set(headings) <= set(cells)
        assert not {"nan", "inf", "<NA>", "None", "n_events"} & set(cells)


def test_trial_has_what_tables_ask_for():
    for name in vars(frames.make_trial()):
        assert name in Trial.__annotations__ or hasattr(Trial, name)


def test_is_estimable():
    assert is_estimable(np.float64(0))
    assert not is_estimable(float("-inf"))


def test_csv_keeps_numbers_and_disarms_text(tmp_path):
    frame = pd.DataFrame(
        {
            "text": ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx", "-", "-1.5", "plain"],
            "number": [0.1 + 0.2, -1 / 3, np.nan, np.inf, -np.inf, 1e-300, 1e22, -5.0, 0.0],
            "count": pd.array([1, pd.NA, -3, 4, 5, 6, 7, 8, 9], dtype="Int64"),
            "mixed": pd.Series([-1, "=a", np.inf, None, 1.5, "b", True, pd.NaT, "c"], dtype="object"),
            "=head": pd.Categorical(["=c"] * 9),
            "when": pd.to_datetime(["2014-12-31"] * 9),
        }
    )
    path = results.write_csv(frame, tmp_path / "table.csv")
    found = pd.read_csv(path, dtype="str", keep_default_na=False, lineterminator="\n")
    assert list(found["text"]) == [
        "'=1+1",
        "'+cmd",
        "'-2+3",
        "'@SUM(A1)",
        "'\tx",
        "'\rx",
        "-",
        "-1.5",
        "plain",
    ]
    assert list(found["number"][2:5]) == ["", "", ""]
    assert [float(found["number"][i]) for i in (0, 1, 5, 6)] == [0.1 + 0.2, -1 / 3, 1e-300, 1e22]
    assert list(found["count"]) == ["1", "", "-3", "4", "5", "6", "7", "8", "9"]
    assert list(found["mixed"][:3]) == ["-1", "'=a", ""]
    assert set(found["'=head"]) == {"'=c"}
    assert found["when"][0] == "2014-12-31"


def test_csv_keeps_columns_of_one_name_and_any_index(tmp_path):
    frame = pd.DataFrame([["=a", "b"]], columns=["x", "x"], index=[7])
    assert results.write_csv(frame, tmp_path / "t.csv").read_text(encoding="utf-8") == "x,x\n'=a,b\n"


def test_csv_without_rows_keeps_its_header(tmp_path):
    path = results.write_csv(pd.DataFrame({"a": [], "b": []}), str(tmp_path / "t.csv"))
    assert path.read_text(encoding="utf-8") == "a,b\n"


def test_every_door_leads_somewhere():
    assert all(getattr(tables, name) for name in tables.__all__)


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (12.3, "12.30"),
        (0.454, "0.45"),
        (0.0996, "0.10"),
        (0.0454, "0.045"),
        (0.00999, "0.010"),
        (0.0045, "0.0045"),
        (1e-9, "<0.0001"),
        (0, "NE"),
        (np.inf, "NE"),
        (np.nan, "NE"),
    ],
)
def test_ratios_keep_digits_near_zero(ratio, shown):
    assert numbers.format_ratio(ratio) == shown


def test_limits_that_exclude_nothing_are_not_estimable():
    assert numbers.format_ratio_interval(0, 3) == "NE to 3.00"
    assert numbers.format_ratio_interval(0.002, np.inf) == "0.0020 to NE"
    assert numbers.format_ratio_interval(0, np.inf) == "NE"
    assert numbers.format_median(4.8, 0, 9) == "4.8 (NE to 9.0)"
    assert numbers.format_median(4.8, 2, np.inf) == "4.8 (2.0 to NE)"


def make_tests():
    return pd.DataFrame(
        {
            "test": ["Ordered trend", "Overall", "Large", "None"],
            "statistic": [13.456, 16.7, 9.0, np.nan],
            "df": [1, 3, 3, 0],
            "p_asymptotic": [0.00024, 0.0008, 0.03, np.nan],
            "p_permutation": [0.00024, 0.0087, 0.031, np.nan],
            "p_permutation_error": [0.000005, 0.0003, 0.002, np.nan],
            "p_exact": [0.0004, 0.0055, np.nan, np.nan],
            "n_allocations": [514_594_080, 514_594_080, 10**40, 10],
        }
    )


def test_tests_side_by_side():
    table = survival_tables.format_tests(make_tests(), frames.make_trial(), endpoint="OS", n_draws=100_000)
    assert row(table, "Overall") == ["Overall", "16.70 (3 df)", "0.0008", "0.0087 (0.0003)", "0.0055"]
    assert row(table, "Ordered trend")[3] == "0.0002 (<0.0001)"
    assert row(table, "Large")[4] == "not computed (1.0 x 10^40 allocations)"
    assert row(table, "None")[2:] == ["NE", "NE", "NE"]
    assert "100,000 random relabellings" in str(read(table))


def test_pairs_say_what_they_cannot_reach():
    pairs = pd.DataFrame(
        {
            "first": ["A", "B"],
            "second": ["B", "C"],
            "n_first": [3, 5],
            "n_second": [3, 6],
            "p_asymptotic": [0.04, 0.01],
            "p_exact": [0.1, 0.0173],
            "p_holm": [0.1, 0.0346],
            "p_smallest": [0.1, 1 / 462],
            "n_allocations": [20, 462],
        }
    )
    table = survival_tables.format_pairs(pairs, frames.make_trial(), endpoint="OS")
    first = "A: low dose x 4 against B: normal dose x 4"
    assert row(table, first)[1:] == [
        "3 and 3",
        "0.0400",
        "0.1000",
        "0.1000",
        "0.1000, cannot reach 0.05",
    ]
    assert "0.0022" in str(read(table))


def test_recalibrated_and_attained():
    worth = pd.DataFrame(
        {"endpoint": ["OS"], "p_published": [0.0403], "p_value": [0.1042], "error": [0.0003]}
    )
    table = survival_tables.format_recalibrated(worth, frames.make_trial())
    assert row(table, "Overall survival")[1:] == ["0.0403", "0.1042 (0.0003)"]
    attained = pd.DataFrame(
        {
            "test": ["asymptotic", "permuted"] * 2,
            "alpha": [0.05, 0.05, 0.01, 0.01],
            "rejected": [0.1205, 0.049, 0.0416, 0.009],
            "error": [0.0002, 0.003, 0.0001, 0.001],
        }
    )
    table = survival_tables.format_attained(attained, frames.make_trial())
    assert row(table, "Usual log-rank, chi-square")[1:] == ["12.05 (0.02)", "4.16 (0.01)"]
    assert row(table, "Usual log-rank, permuted")[1:] == ["4.90 (0.30)", "0.90 (0.10)"]


def test_restricted_means():
    means = pd.DataFrame(
        {
            "group": ["A", "All"],
            "n": [3, 18],
            "estimate": [2.083, 3.04],
            "standard_error": [np.nan, 0.24],
            "ci_lower": [np.nan, 2.58],
            "ci_upper": [np.nan, 3.51],
            "tau": [3.7454, 3.7454],
        }
    )
    table = survival_tables.format_rmst(means, frames.make_trial(), endpoint="OS")
    assert "up to 3.745 months" in str(read(table))
    assert row(table, "A: low dose x 4")[1:] == ["3", "2.08", "NE", "NE"]
    assert row(table, "All")[1:] == ["18", "3.04", "0.24", "2.58 to 3.51"]


def test_coverage_shows_the_worst_place():
    frame = pd.DataFrame(
        {
            "n": [3] * 4,
            "censoring": [0.3] * 4,
            "conf_type": ["bpcp", "bpcp", "log", "log"],
            "survival": [0.8, 0.5] * 2,
            "coverage": [0.99, 0.987, 0.9, 0.452],
            "error": [0.01] * 4,
        }
    )
    table = survival_tables.format_coverage(frame, frames.make_trial())
    assert row(table, "3, 30 % censored") == ["3, 30 % censored", "98.7", "45.2"]
    assert "80 %, 50 %" in str(read(table))
