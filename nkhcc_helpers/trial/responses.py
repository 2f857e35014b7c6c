"""Best overall response and tumour change of each patient, from ADRS where a trial has it."""

from __future__ import annotations

import dataclasses

import pandas as pd

from nkhcc_helpers.trial.metadata import ResponseSource, TrialMetadata
from nkhcc_helpers.trial.patients import group_rows
from nkhcc_helpers.trial.problems import BLANK, Problem, RawTable, suggest_name
from nkhcc_helpers.trial.rules import Tables
from nkhcc_helpers.trial.schema import find_column, find_text, list_text

BEST_RESPONSES = ("CR", "PR", "SD", "PD", "NE")
NOT_ASSESSED = ""
"""Best response of a patient of whom no assessment is known."""
NO_RESPONSES = pd.DataFrame(columns=["USUBJID", "group", "best", "change"])
_DEFAULTS = ("BOR", "CBOR")
_WORDS = {
    "CR": ["COMPLETE RESPONSE", "COMPLETE REMISSION"],
    "PR": ["PARTIAL RESPONSE", "PARTIAL REMISSION"],
    "SD": ["STABLE DISEASE", "NON-CR/NON-PD", "NON CR/NON PD", "NONCR/NONPD"],
    "PD": ["PROGRESSIVE DISEASE", "DISEASE PROGRESSION", "PROGRESSION"],
    "NE": ["NOT EVALUABLE", "NON-EVALUABLE", "UNEVALUABLE", "INEVALUABLE", "NOT ASSESSABLE"],
    NOT_ASSESSED: ["MISSING", "NOT ASSESSED", "NOT DONE", "ND", "NOT AVAILABLE"],
}
RESPONSE_WORDS = {word: best for best, words in _WORDS.items() for word in [best, *words]}
"""What each word of AVALC means, in upper case; between complete response and progression is stable."""
_CHANGE = r"%|\bP(?:ER)?CE?N?T\b|\bP?CHG|CHANGE"


def keep_responses(
    raw: dict[str, RawTable], metadata: TrialMetadata, problems: list[Problem], said: list[str]
) -> None:
    """Keep of ADRS the rows of the best response and of the change; nothing where no best one is known."""
    frame = raw["ADRS"].frame
    if "PARAMCD" not in frame:
        return
    codes, told = list(frame["PARAMCD"].unique()), metadata.response or ResponseSource()
    listed, best = ", ".join(sorted(set(codes) - set(BLANK))), _find_best(frame["PARAMCD"], metadata)
    unknown = [(key, code) for key, code in told if code and code not in codes]
    for key, code in unknown:
        rule = f"is no PARAMCD of ADRS ({listed or 'which has no rows'}){suggest_name(code, codes)}"
        problems.append(Problem("trial.yaml", None, f"response.{key}", code, rule))
    if not best:
        rule = "names no best overall response (BOR, CBOR); say which it is by response in trial.yaml"
        said.append(f"ADRS is left out: its PARAMCD ({listed or 'no rows'}) {rule}")
    if best == _DEFAULTS[0] and not told.best and _DEFAULTS[1] in codes:
        rule = "is taken; response in trial.yaml can name another"
        said.append(f"ADRS: of {' and '.join(_DEFAULTS)}, {best} {rule}")
    if unknown or not best:
        del raw["ADRS"]
    else:
        frame = frame[frame["PARAMCD"].isin([*BLANK, best, told.change])]
        raw["ADRS"] = dataclasses.replace(raw["ADRS"], frame=frame)


def _find_best(codes: pd.Series, metadata: TrialMetadata) -> str:
    """Return the PARAMCD of the best response: the one named, or else BOR, or CBOR; empty without any."""
    named = metadata.response.best if metadata.response is not None else ""
    return named or next((code for code in _DEFAULTS if (codes == code).any()), "")


def _choose(adrs: pd.DataFrame, metadata: TrialMetadata) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the rows of the best response, those of the change, and the column of the change."""
    codes, changes = find_text(adrs, "PARAMCD"), adrs.iloc[:0]
    if metadata.response is not None and metadata.response.change:
        changes = adrs[(codes == metadata.response.change) & (list_text(adrs, "ABLFL") != "Y")]
    has_column = find_column(changes, "PCHG", "float64").notna().any()
    return adrs[codes == _find_best(codes, metadata)], changes, "PCHG" if has_column else "AVAL"


def check_responses(tables: Tables) -> list[Problem]:
    """List what is wrong with best responses and changes of tumour size."""
    adrs, metadata = tables["ADRS"], tables.metadata
    if metadata is None or not tables.has("ADRS", "USUBJID", "PARAMCD", "AVALC"):
        return []
    best, changes, column = _choose(adrs, metadata)
    words = list_text(best, "AVALC")
    rule = f"must be {', '.join(BEST_RESPONSES)} or one of their long forms, MISSING or empty"
    problems = tables.report("ADRS", "AVALC", ~words.isin(RESPONSE_WORDS), rule)
    first = best["USUBJID"].map({name: row for row, name in best["USUBJID"][::-1].items()})
    rules = first.map(lambda row: f"subject has a best response already in row {row}")
    problems += tables.report("ADRS", "USUBJID", best["USUBJID"].notna() & (first != first.index), rules)
    if len(changes) and not tables.has("ADRS", column):
        rule = "column is missing; response.change needs it, or PCHG"
        return [*problems, Problem("ADRS", 1, column, "", rule)]
    if len(changes):
        is_less = changes[column] < -100
        problems += tables.report("ADRS", column, is_less, "must be a percent change, -100 at least")
    name = next(iter(find_text(changes, "PARAM")), "").upper()
    if column == "AVAL" and name and not pd.Series(name).str.contains(_CHANGE).any():
        rule = f"AVAL is no percent change by PARAM, {name!r}, and PCHG says none; leave change out"
        problems.append(Problem("trial.yaml", None, "response.change", metadata.response.change, rule))
    return problems


def list_responses(adrs: pd.DataFrame, subjects: pd.DataFrame, metadata: TrialMetadata) -> pd.DataFrame:
    """Return `Trial.responses` of a parsed ADRS."""
    frame = subjects[["USUBJID"]].assign(best=NOT_ASSESSED, change=float("nan"))
    frame.insert(1, "group", group_rows(frame, subjects, metadata))
    best, changes, column = _choose(adrs, metadata)
    words = list_text(best, "AVALC").map(RESPONSE_WORDS).astype(object).set_axis(best["USUBJID"])
    found = find_column(changes, column, "float64").groupby(changes["USUBJID"]).min()
    ids = frame["USUBJID"]
    return frame.assign(best=ids.map(words).fillna(NOT_ASSESSED), change=ids.map(found).astype(float))
