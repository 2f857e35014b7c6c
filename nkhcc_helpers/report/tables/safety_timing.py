"""Tables of when adverse events come, whether they are dose-limiting, and whether they go with the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from nkhcc_helpers import safety
from nkhcc_helpers.report.display import Layout, group, lay_out_groups, lay_out_rows, number, shows_table
from nkhcc_helpers.report.names import name_scope, name_treatment, show_group, show_interval
from nkhcc_helpers.report.numbers import (
    NOT_APPLICABLE,
    NOT_ESTIMABLE,
    format_estimate,
    format_interval,
    format_number,
    format_or_none,
    format_p,
    format_p_with_error,
    format_percent,
    format_share,
    is_estimable,
)
from nkhcc_helpers.report.tables.safety import TWO_GROUPS_NOTE, name_block
from nkhcc_helpers.safety.counts import BLOCK, choose_terms, list_block_keys, list_term_names
from nkhcc_helpers.safety.exposure import list_unplaced
from nkhcc_helpers.safety.listings import Definition
from nkhcc_helpers.safety.relation import N_DRAWS, list_scores
from nkhcc_helpers.trial.metadata import count_noun

if TYPE_CHECKING:
    from nkhcc_helpers.trial.trial import Trial

END_OF_OBSERVATION = "the end of observation"
WINDOW_END = "{window_days} days after the end of the last, or the end of observation if that is earlier"
RATE_NOTE = (
    "Time at risk: from the first {word} to {end}; it stops at the patient's first event of the term, and "
    "so do the {words}. Patients are counted of those at risk, who received at least one. Only outside: "
    "patients all of whose events lie outside that time. Day not known: patients with an event that nobody "
    "can place and none within; they are not at risk, and left out of the rate."
)
GARWOOD_NOTE = "Limits: exact, Garwood. A rate assumes that the risk stays the same over time."
ONSET_NOTES = (
    "Onset: days since the latest {word} began. Duration: end date minus onset date, 0 on the same day; "
    "where both days are counted, as in CDISC's ADURN, it is one more. Dates do not tell hours.",
    "Median duration and limits, and percent resolved the same or next day, by Kaplan-Meier. An event whose "
    "outcome says that it goes on is ongoing: censored at its end date if it has one, else at the patient's "
    "end of observation. A fatal event never resolves, and stays unresolved at every time. One without an "
    "end date and without such an outcome is left out, its end not known. Longest seen to resolve: of ends "
    "dated to the day. Events of one patient are taken for independent, so that the limits may be too "
    "narrow.",
)
BY_INFUSION_NOTE = (
    "An event belongs to the latest {word} that began on or before its onset, however long ago that was: "
    "this table has no window of days. Where fewer patients received a later {word}, that was not by chance: "
    "who had bad events may have stopped."
)
MOST_INFUSIONS = 30
BY_INFUSION_MORE = "The first {most} {words} of up to {all} are shown; the CSV file has them all."
LIMITING_NOTES = (
    "Evaluable: with a dose-limiting toxicity, or observed throughout those days and given at least "
    "{number} in them. Percent of the evaluable; limits exact, Clopper-Pearson.",
    "Doses given after those days, as in a schedule that goes on or rises, are not judged by this table.",
    "Upper limit: one-sided. Shares above it do not fit the data; shares below it do, however few patients "
    "there were.",
)
RELATION_NOTES = (
    "Trend: exact conditional Cochran-Armitage, two-sided. Any difference: exact Fisher-Freeman-Halton. Both "
    "over all ways in which as many patients with the event could fall to the groups.",
    "Smallest possible: what these numbers of patients can give at all. Every term is shown, none chosen by "
    "its P, and no P is adjusted for the others.",
)
SCORE_NAMES = {"equal": "equally spaced, whatever their doses", "dose": "planned dose of each arm"}
NO_TEST_NOTE = "-: with so many patients with the event no P other than 1 is possible."
BY_GROUP_NOTE = "By group: patients with the event of those treated, in the order {groups}."
DRAWN_NOTE = (
    "A P with a number in brackets is not exact: these ways were too many to count, and {n_draws} of them "
    "were drawn at random (a permutation test); in brackets its Monte-Carlo standard error."
)
ROUNDING = 1e-9


@shows_table(safety.estimate_rates, by_exposure=True)
def format_rates(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    window_days: int | None = 30,
    conf_level: float = 0.95,
    related_only: bool | None = None,
    counts: pd.DataFrame | None = None,
    most: int | None = None,
) -> Layout:
    """First events per patient and time, and per infusion, a block per term, from `estimate_rates`.

    With `counts`, from `count_by_term`, only the terms are shown that `choose_terms` chooses of them.
    """
    names = list_term_names(frame)
    chosen, left_out = (list(names), "") if counts is None else choose_terms(counts, most)
    keys = pd.Series(list_block_keys(frame), index=frame.index, dtype="object")
    kept = keys.isin(chosen)
    interval, words = show_interval(conf_level), name_treatment(trial)
    end = END_OF_OBSERVATION if window_days is None else WINDOW_END.format(window_days=window_days)
    return lay_out_rows(
        frame.assign(unplaced=list_unplaced(frame), block=keys.map(names))[kept],
        {
            "": group(trial),
            "Patients with it": _people,
            f"Time at risk ({trial.unit})": number("time_at_risk", 1),
            f"First events per patient-{trial.unit.removesuffix('s')} ({interval})": _rate("rate", "ci"),
            words["Words"]: number("n_infusions"),
            f"First events per {words['word']} ({interval})": _rate("rate_per_infusion", "infusion"),
            "Only outside": number("n_outside"),
            "Day not known": number("n_undated"),
        },
        block=lambda row: row["block"],
        title=f"Adverse events per time at risk and per {words['word']}",
        notes=[
            RATE_NOTE.format(end=end, **words),
            GARWOOD_NOTE,
            *([f"{left_out}; the CSV file of this table has them all."] if left_out else []),
            *name_scope(related_only),
        ],
    )


def _people(row: dict) -> str:
    if not is_estimable(row["n_patients"]) or row["unplaced"]:
        return NOT_ESTIMABLE
    return f"{int(row['n_patients'])} of {int(row['n_at_risk'])}"


def _rate(column: str, limits: str) -> Callable[[dict], str]:
    """A cell with a rate of two significant digits or more, and its limits; 0 is a rate like others."""

    def show(row: dict) -> str:
        rate, lower, upper = row[column], row[f"{limits}_lower"], row[f"{limits}_upper"]
        if not is_estimable(rate):
            return NOT_ESTIMABLE
        largest = max(value for value in (rate, upper) if is_estimable(value))
        decimals = 1 if largest >= 10 else 2 if largest >= 0.1 else 3
        return format_estimate(rate, lower, upper, decimals)

    return show


@shows_table(safety.summarize_onset, by_exposure=True)
def format_onset(
    frame: pd.DataFrame, trial: Trial, *, conf_level: float = 0.95, related_only: bool | None = None
) -> Layout:
    """When events began after a treatment and how long they lasted, in days, from `summarize_onset`."""
    words = name_treatment(trial)
    return lay_out_rows(
        frame,
        {
            "": "term",
            "Patients": "n_patients",
            "Events": "n_events",
            f"Onset after {words['word']}: median (range)": _median_and_range,
            f"Duration: median ({show_interval(conf_level)})": _duration,
            "Longest seen to resolve": lambda row: format_or_none(row["duration_maximum"]),
            "Resolved the same or next day": lambda row: format_percent(row["percent_within_one_day"]),
            "Ongoing": "n_ongoing",
            "Fatal": "n_fatal",
            "End not known": "n_unknown_end",
            "Date imputed": "n_imputed",
        },
        title="Onset and duration",
        subtitle="Days",
        notes=[*(note.format(**words) for note in ONSET_NOTES), *name_scope(related_only)],
    )


def _median_and_range(row: dict) -> str:
    if not is_estimable(row["onset_median"]):
        return NOT_APPLICABLE
    ends = format_interval(row["onset_minimum"], row["onset_maximum"], 0)
    return f"{format_number(row['onset_median'])} ({ends})"


def _duration(row: dict) -> str:
    limits = (row["duration_lower"], row["duration_upper"])
    if not is_estimable(row["duration_median"]) and pd.isna(limits[0]):
        return NOT_APPLICABLE
    return format_estimate(row["duration_median"], *limits)


@shows_table(safety.count_by_infusion, by_exposure=True)
def format_by_infusion(frame: pd.DataFrame, trial: Trial, *, related_only: bool | None = None) -> Layout:
    """Adverse events after each treatment, a row per treatment, from `count_by_infusion`."""
    words, most = name_treatment(trial), frame["infusion"].max() if len(frame) else 0
    more = [BY_INFUSION_MORE.format(most=MOST_INFUSIONS, all=most, **words)] if most > MOST_INFUSIONS else []

    def heading(row: dict) -> str:
        return f"{words['Word']} {'not known' if pd.isna(row['infusion']) else int(row['infusion'])}"

    return lay_out_groups(
        frame[(frame["infusion"] <= MOST_INFUSIONS).fillna(True)],
        lambda row: {heading(row): _after_infusion(row)},
        {str(code): show_group(code, trial) for code in frame["group"].unique()},
        title=f"Adverse events after each {words['word']}",
        subtitle=f"Patients with an event / patients who received the {words['word']} (%) [events]",
        notes=[BY_INFUSION_NOTE.format(**words), *more, *name_scope(related_only)],
    )


def _after_infusion(row: dict) -> str:
    unplaced = pd.isna(row["infusion"])
    if not unplaced and not row["n_received"]:
        return NOT_APPLICABLE
    if not is_estimable(row["n_patients"]):
        return NOT_ESTIMABLE
    n_patients, n_events = int(row["n_patients"]), int(row["n_events"])
    if unplaced:
        return f"{n_patients} [{n_events}]" if n_patients else "0"
    share = f" ({format_percent(row['percent'])}) [{n_events}]" if n_patients else ""
    return f"{n_patients}/{int(row['n_received'])}{share}"


@shows_table(safety.count_dose_limiting, by_exposure=True)
def format_dose_limiting(
    frame: pd.DataFrame, trial: Trial, definition: Definition | None = None, *, conf_level: float = 0.95
) -> Layout:
    """Patients with a dose-limiting toxicity, a row per group, from `count_dose_limiting`."""
    definition = definition or Definition()
    word = trial.metadata.treatment_word
    fewest = count_noun(definition.fewest_infusions, word)
    return lay_out_rows(
        frame,
        {
            "Group": group(trial),
            "Treated": "n_treated",
            "Evaluable": "n_evaluable",
            "With it (%)": lambda row: format_share(row["n_patients"], row["percent"]),
            "Events": number("n_events"),
            f"{show_interval(conf_level)}, %": lambda row: format_interval(
                row["ci_lower"], row["ci_upper"], 0
            ),
            f"Upper limit, one-sided {100 * conf_level:g} %": lambda row: format_percent(
                row["one_sided_upper"]
            ),
        },
        title="Dose-limiting toxicity",
        subtitle=show_definition(definition, word),
        notes=[*(note.format(number=fewest) for note in LIMITING_NOTES)],
    )


def show_definition(definition: Definition, word: str) -> str:
    """What counts as a dose-limiting toxicity, in words."""
    grade = "grade 5" if definition.grade == 5 else f"grade {definition.grade} or more"
    related = "related to treatment, " if definition.related_only else "whatever its cause, "
    days = f"beginning within {count_noun(definition.window_days, 'day')} after the first {word}"
    excluded = f"; not counted: {', '.join(definition.excluded_terms)}" if definition.excluded_terms else ""
    text = f"{related}{grade}, {days}{excluded}"
    return text[0].upper() + text[1:]


@shows_table(safety.compare_groups)
def format_dose_relation(
    frame: pd.DataFrame,
    trial: Trial,
    *,
    counts: pd.DataFrame | None = None,
    scores: str | Sequence[float] = "equal",
    n_draws: int = N_DRAWS,
    related_only: bool | None = None,
) -> Layout:
    """Exact tests of each term across the groups, each beside the smallest P possible, from `compare_groups`.

    `counts`, from `count_by_term`, show which way a trend goes; `scores` are those that `frame` rests on.
    """
    names = list_term_names(frame)
    columns: dict[str, object] = {"": lambda row: name_block(row, names), "Patients": number("n_patients")}
    explained = [name_scores(trial, scores)]
    if (frame[["trend_smallest", "groups_smallest"]] > 1 - ROUNDING).any(axis=None):
        explained.append(NO_TEST_NOTE)
    if counts is not None:
        columns["By group"] = _by_group(counts, trial)
        explained.append(BY_GROUP_NOTE.format(groups=", ".join(trial.group_labels.values())))
    columns["Trend over the groups"] = list_test_columns("trend")
    columns["Any difference"] = list_test_columns("groups")
    treated = trial.subjects.loc[trial.subjects["treated"], "group"]
    if len(treated.unique()) < 2 or (frame["n_patients"].notna().any() and frame["p_groups"].isna().all()):
        explained.append(TWO_GROUPS_NOTE)
    all_exact = bool(frame["is_exact"][frame["p_trend"].notna()].all())
    drawn = [] if all_exact else [DRAWN_NOTE.format(n_draws=f"{n_draws:,}")]
    return lay_out_rows(
        frame,
        columns,
        title="Do adverse events go with the group?",
        notes=[*RELATION_NOTES, *explained, *drawn, *name_scope(related_only)],
    )


def list_test_columns(test: str) -> dict[str, Callable[[dict], str]]:
    """The columns of one test; none where no P other than 1 is possible."""

    def show(row: dict) -> str:
        p_value, error, smallest = row[f"p_{test}"], row[f"p_{test}_error"], row[f"{test}_smallest"]
        if is_estimable(smallest) and smallest > 1 - ROUNDING:
            return NOT_APPLICABLE
        drawn = is_estimable(p_value) and is_estimable(error) and error > 0
        return format_p_with_error(p_value, error) if drawn else _whole(p_value)

    return {"P": show, "Smallest possible": lambda row: _whole(row[f"{test}_smallest"])}


def _whole(p_value: float) -> str:
    """A P of 1 prints as 1, although its sum of probabilities may fall short of it in the last digits."""
    return format_p(1.0 if is_estimable(p_value) and p_value > 1 - ROUNDING else p_value)


def _by_group(counts: pd.DataFrame, trial: Trial) -> Callable[[dict], str]:
    """A cell with the patients with the event of those treated, group by group."""
    keys = [*BLOCK, "grade"]
    cells = {
        (*(str(row[key]) for key in keys), str(row["group"])): (
            f"{format_number(row['n_patients'], 0)}/{int(row['n_evaluable'])}"
        )
        for row in counts.to_dict("records")
    }

    def show(row: dict) -> str:
        of = [str(row[key]) for key in keys]
        return " ".join(cells.get((*of, str(code)), NOT_ESTIMABLE) for code in trial.groups)

    return show


def name_scores(trial: Trial, scores: str | Sequence[float]) -> str:
    """The scores behind the trend, group by group, and what they are."""
    kind = SCORE_NAMES.get(scores, "as given") if isinstance(scores, str) else "as given"
    if kind == SCORE_NAMES["dose"] and trial.metadata.dose_unit:
        kind = f"{kind}, {trial.metadata.dose_unit}"
    each = [f"{show_group(code, trial)}: {score:g}" for code, score in list_scores(trial, scores).items()]
    return f"Scores of the groups for the trend ({kind}): {'; '.join(each)}."
