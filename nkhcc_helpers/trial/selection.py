"""What of a trial can be chosen: endpoints, groups, columns, patients by a population or a rule, doses."""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, get_args

import pandas as pd
from annotated_types import Ge, Le
from pydantic import AfterValidator, ValidationInfo

from nkhcc_helpers.checks import check_choice
from nkhcc_helpers.trial.metadata import LARGEST, Assumption
from nkhcc_helpers.trial.patients import GROUPS, group_rows, plan_groups
from nkhcc_helpers.trial.problems import RawTable, describe_unknown, join_names, suggest_name
from nkhcc_helpers.trial.schema import BLANK, list_answers, list_text, parse_numbers

if TYPE_CHECKING:
    from nkhcc_helpers.trial.metadata import TrialMetadata
    from nkhcc_helpers.trial.trial import Trial

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EXAMPLES = "such as AGE >= 65, SEX == 'F' and AGE < 65, or SITEID in ('701', '703')"
_N_SHOWN = 8
_LONGEST = 1000
"""Characters of a rule; what is nested deeper could not be parsed."""


def leave_out(
    raw: Mapping[str, RawTable], metadata: TrialMetadata
) -> tuple[dict[str, RawTable], dict[str, int]]:
    """Return tables without the patients whom `left_out` of trial.yaml names, and how many those are by word.

    Under "" are those without an entry in TRT01P. The same words in TRT01A say that nothing was received.
    """
    adsl = raw["ADSL"].frame if "ADSL" in raw else pd.DataFrame()
    if not {"USUBJID", "TRT01P"} <= set(adsl):
        return dict(raw), {}
    codes = {arm.code for arm in metadata.arms}
    words = {word.casefold(): word for word in metadata.left_out}
    blank = {text: "" for text in BLANK if text not in codes and text.casefold() not in words}
    why = adsl["TRT01P"].replace(blank).str.casefold().where(~adsl["TRT01P"].isin(codes)).map(words)
    ids = set(adsl.loc[why.notna(), "USUBJID"])
    kept = {}
    for table, each in raw.items():
        frame = each.frame[~each.frame["USUBJID"].isin(ids)] if "USUBJID" in each.frame else each.frame
        if table == "ADSL" and "TRT01A" in frame:
            frame = frame.assign(TRT01A=frame["TRT01A"].mask(frame["TRT01A"].str.casefold().isin(words), ""))
        kept[table] = dataclasses.replace(each, frame=frame)
    return kept, {word: int((why == word).sum()) for word in metadata.left_out}


@dataclass(frozen=True)
class Selection:
    """Who of a trial is analysed: by the flag of a population, by a rule; `n` of `n_all` patients.

    Of `n_unknown` in the population a missing value leaves open whether they meet the rule; they are out.
    """

    population: str
    where: str
    n: int
    n_all: int
    n_unknown: int


def list_flags(adsl: pd.DataFrame) -> list[str]:
    """Return the columns of ADSL that say yes or no of each patient, such as SAFFL."""
    return [name for name in adsl if str(name).endswith("FL") and list_answers(adsl, name).notna().any()]


def select_patients(trial: Trial, population: str = "", where: str = "") -> Trial:
    """Leave out of all frames whoever is not in a population, or does not meet a rule.

    Parameters
    ----------
    trial : Trial
        As loaded.
    population : str
        A flag of ADSL, such as ``SAFFL ITTFL FASFL PPROTFL``: patients of whom it says yes. Empty for all.
    where : str
        Columns of ADSL compared with numbers, texts in quotation marks, or dates as text (``AGE >= 65``,
        ``SEX == 'F' and 18 <= AGE < 65``, ``RACE in ('ASIAN', 'WHITE')``), joined by ``and``, ``or`` and
        ``not``. Empty for all. What a missing value leaves open is not met, and counted.

    Returns
    -------
    Trial
        With `selection`; `trial` itself where nothing is asked. What a paper claims is of all patients, so
        that one with a selection has no `published`.

    Raises
    ------
    ValueError
        There is no such flag or column, the rule is not one, or nobody is left.
    """
    if not population and not where:
        return trial
    adsl = trial.subjects
    chosen = pd.Series(True, index=adsl.index, dtype="boolean")
    if population:
        chosen &= _read_flag(adsl, population)
    met = read_rule(adsl, where) if where else chosen
    unknown = int((chosen & met.isna()).sum())
    kept = adsl.loc[(chosen & met).fillna(False), "USUBJID"]
    if kept.empty:
        raise ValueError(f"leaves nobody: {' and '.join(filter(None, (population, where)))}")
    frames = {
        field.name: frame[frame["USUBJID"].isin(kept)].reset_index(drop=True)
        for field in dataclasses.fields(trial)
        if isinstance(frame := getattr(trial, field.name), pd.DataFrame)
    }
    selection = Selection(population, where, n=len(kept), n_all=len(adsl), n_unknown=unknown)
    return dataclasses.replace(trial, published=None, selection=selection, **frames)


def change_doses(trial: Trial, doses: Sequence[float]) -> Trial:
    """Plan other doses than those of `trial.yaml`.

    Parameters
    ----------
    trial : Trial
    doses : sequence of float
        Mean dose of each group in order, or ValueError; empty for those of `trial.yaml`.
    """
    arms = trial.metadata.arms
    if not doses or list(doses) == [arm.dose for arm in arms]:
        return trial
    _refuse_other_number(trial, doses)
    arms = [arm.plan_dose(float(dose)) for arm, dose in zip(arms, doses, strict=True)]
    told = ", ".join(f"{arm.dose:g} ({arm.label})" for arm in arms)
    why = "Chosen by the parameter doses, in the place of those of trial.yaml."
    kept = [each for each in trial.metadata.assumptions if each.of != "dose"]
    assumptions = [Assumption(what="Mean doses", value=told, why=why, of="dose"), *kept]
    metadata = trial.metadata.model_copy(update={"arms": arms, "assumptions": assumptions})
    planned = trial.subjects.set_index("USUBJID")["group"].astype(object)
    subjects = plan_groups(trial.subjects, planned, metadata)
    return dataclasses.replace(trial, metadata=metadata, subjects=subjects, has_other_doses=True)


def group_by_treatment(trial: Trial, groups: str = "actual") -> Trial:
    """Put every patient in the group of the treatment received, or of the one planned.

    Safety is conventionally shown by the treatment received, efficacy by the one planned, which is how a
    trial is loaded. Every table made of what this returns follows.

    Parameters
    ----------
    trial : Trial
        As loaded.
    groups : {"actual", "planned"}, default "actual"
        ``actual``: TRT01A; where it is empty or the column is not there, TRT01P. ``planned``: TRT01P.

    Returns
    -------
    Trial
        `trial` with another ``group`` in all its frames, and in ``subjects`` the dose and the planned
        infusions of that group.

    Raises
    ------
    ValueError
        `groups` is neither.
    """
    check_choice(groups, "groups", GROUPS)
    codes = trial.subjects.set_index("USUBJID")["TRT01P"]
    if groups == "actual" and "TRT01A" in trial.subjects:
        given = trial.subjects.set_index("USUBJID")
        codes = given["TRT01A"].where(list_text(given, "TRT01A") != "", codes)
    subjects = plan_groups(trial.subjects, codes, trial.metadata)
    others = {name: getattr(trial, name) for name in ("times", "infusions", "adverse_events", "responses")}
    moved = {
        name: old.assign(group=group_rows(old, subjects, trial.metadata)) for name, old in others.items()
    }
    return dataclasses.replace(trial, subjects=subjects, **moved)


def describe_treatment(trial: Trial) -> dict[str, int]:
    """Count the treated patients of whom it is known what they received, and who received something else.

    Parameters
    ----------
    trial : Trial

    Returns
    -------
    dict of str to int
        ``n_with_actual``: treated patients with an entry in TRT01A; ``n_moved``: those whose entry is not the
        group planned for them.
    """
    treated = trial.subjects[trial.subjects["treated"]]
    known = treated[list_text(treated, "TRT01A") != ""]
    moved = known[known["TRT01A"] != known["TRT01P"]] if len(known) else known
    return {"n_with_actual": len(known), "n_moved": len(moved)}


def _refuse_other_number(trial: Trial, doses: Sequence[float]) -> None:
    if len(doses) != len(trial.groups):
        raise ValueError(f"must hold a dose for each of {join_names(trial.groups, 'and')}, not {len(doses)}")


def _read_flag(adsl: pd.DataFrame, name: str) -> pd.Series:
    flags = list_flags(adsl)
    if name not in flags:
        known = join_names(flags, "or")
        raise ValueError(f"must be {known}, not {name!r}" if flags else "must be empty: ADSL has no flag")
    return list_answers(adsl, name).eq(True).astype("boolean")


def read_rule(adsl: pd.DataFrame, rule: str) -> pd.Series:
    """Return for each row of ADSL whether it meets a rule, NA where a missing value leaves that open.

    The rule is parsed, never run. ValueError says what in it cannot be read.
    """
    if len(rule) > _LONGEST:
        raise ValueError(f"must have {_LONGEST} characters or fewer")
    try:
        parsed = ast.parse(rule.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        hint = " (equal is written ==)" if "=" in rule and "==" not in rule else ""
        raise ValueError(f"cannot be read as a rule{hint}; write one {_EXAMPLES}, not {rule!r}") from None
    return _decide(parsed, adsl)


def _refuse_unmet(adsl: pd.DataFrame, rule: str) -> None:
    if not read_rule(adsl, rule).fillna(False).any():
        raise ValueError(f"is met by nobody: {rule}")


def _decide(node: ast.expr, adsl: pd.DataFrame) -> pd.Series:
    if isinstance(node, ast.BoolOp):
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        return reduce(join, [_decide(each, adsl) for each in node.values])  # noqa: PD011 (of the tree)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_decide(node.operand, adsl)
    if not isinstance(node, ast.Compare):
        raise _refuse(node)
    sides = [node.left, *node.comparators]
    met = pd.Series(True, index=adsl.index, dtype="boolean")
    for left, comparison, right in zip(sides, node.ops, sides[1:], strict=False):
        met &= _compare(left, comparison, right, adsl)
    return met


def _compare(left: ast.expr, comparison: ast.cmpop, right: ast.expr, adsl: pd.DataFrame) -> pd.Series:
    if isinstance(comparison, ast.In | ast.NotIn):
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise _refuse(right)
        found = reduce(operator.or_, [_compare(left, ast.Eq(), each, adsl) for each in right.elts])
        return found if isinstance(comparison, ast.In) else ~found
    if type(comparison) not in _COMPARISONS or isinstance(left, ast.Name) == isinstance(right, ast.Name):
        raise _refuse(left)
    column, other = (left, right) if isinstance(left, ast.Name) else (right, left)
    known, value = _read_sides(column.id, _read_literal(other), comparison, adsl)
    held = (known, value) if column is left else (value, known)
    answers = _COMPARISONS[type(comparison)](*held)
    return pd.Series(answers, index=adsl.index).astype("boolean").mask(known.isna())


def _read_literal(node: ast.expr) -> float | str:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    literal = node.operand if negative else node
    value = literal.value if isinstance(literal, ast.Constant) else None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or (negative and value == str(value))
    ):
        raise _refuse(node)
    if not isinstance(value, str) and abs(value) > LARGEST:
        raise ValueError(f"compares with a number beyond {LARGEST:g}")
    return -value if negative else value


def _read_sides(
    name: str, value: float | str, comparison: ast.cmpop, adsl: pd.DataFrame
) -> tuple[pd.Series, Any]:
    """Return a column and a value of one type: numbers, dates or texts."""
    given = [str(column) for column in adsl if str(column).isupper()]
    if name not in given:
        hint = suggest_name(name, given) or "; it has " + join_names(given, "and")
        raise ValueError(f"ADSL has no column {name!r}{hint}")
    cells = adsl[name]
    if pd.api.types.is_datetime64_any_dtype(cells):
        date = pd.to_datetime(value, format="%Y-%m-%d", errors="coerce") if isinstance(value, str) else pd.NaT
        if pd.isna(date):
            raise ValueError(f"{name} holds dates; compare it with one such as '2015-03-01', not {value!r}")
        return cells, date
    written = cells.astype("string").str.strip()
    written = written.mask(written.isin(BLANK))
    if isinstance(value, str):
        if pd.api.types.is_numeric_dtype(cells):
            raise ValueError(f"{name} holds numbers; compare it with one, not {value!r}")
        words = sorted(written.dropna().unique())
        if isinstance(comparison, ast.Eq | ast.NotEq) and value not in words:
            shown = ", ".join(map(repr, words[:_N_SHOWN])) + ", and others" * (len(words) > _N_SHOWN)
            raise ValueError(f"{name} is {value!r} nowhere; it is {shown or 'empty'}")
        return written, value
    numbers = cells if pd.api.types.is_numeric_dtype(cells) else parse_numbers(written.astype(object))
    if (numbers.isna() & written.notna()).any():
        raise ValueError(f"{name} does not hold numbers; compare it with a text in quotation marks")
    return numbers.astype(float), float(value)


def _refuse(node: ast.expr) -> ValueError:
    return ValueError(f"must compare columns with values, {_EXAMPLES}; {ast.unparse(node)!r} does not")


def _hold_against(check: Callable[[Trial, Any], None]) -> AfterValidator:
    """A check against the trial that the validation's context loads; empty leaves the choice open."""

    def hold(value: Any, info: ValidationInfo) -> Any:
        if info.context and value:
            check(info.context(), value)
        return value

    return AfterValidator(hold)


@dataclass(frozen=True)
class Choice:
    """Codes that a trial has; stands in the type of what is chosen from them."""

    list_known: Callable[[Trial], Iterable[str]]


def _choose_from(list_known: Callable[[Trial], Iterable[str]]) -> tuple[Choice, AfterValidator]:
    def check(trial: Trial, value: str | list[str]) -> None:
        known, of_list = list(list_known(trial)), isinstance(value, list)
        for item in value if of_list else [value]:
            if item not in known:
                raise ValueError(describe_unknown(item, known, of_list=of_list))

    return Choice(list_known), _hold_against(check)


def list_choices(kinds: Mapping[str, Any], trial: Trial) -> dict[str, list[str]]:
    """List the codes of a trial that values of these types are chosen from, where they are, by name."""
    parts = [(name, part) for name, kind in kinds.items() for part in get_args(kind)]
    return {name: list(part.list_known(trial)) for name, part in parts if isinstance(part, Choice)}


EndpointCode = Annotated[str, *_choose_from(lambda trial: trial.endpoint_labels)]
GroupCode = Annotated[str, *_choose_from(lambda trial: trial.groups)]
StrataColumn = Annotated[
    str, *_choose_from(lambda trial: [each.column for each in trial.metadata.baseline if each.is_categorical])
]
BaselineColumns = Annotated[
    list[str], *_choose_from(lambda trial: [item.column for item in trial.metadata.baseline])
]
PlannedDoses = Annotated[list[Annotated[float, Ge(0), Le(LARGEST)]], _hold_against(_refuse_other_number)]
Population = Annotated[str, *_choose_from(lambda trial: list_flags(trial.subjects))]
PatientRule = Annotated[str, _hold_against(lambda trial, rule: _refuse_unmet(trial.subjects, rule))]
