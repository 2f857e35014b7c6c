"""Small trials written to folders: each keeps the data contract and differs where a page could go wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

CUT_OFF = pd.Timestamp("2021-06-30")
FIRST_DAY = pd.Timestamp("2015-01-12")


@dataclass
class Files:
    """What a trial's folder holds; a part that is None is not written."""

    metadata: dict[str, Any] | None
    adsl: pd.DataFrame | None
    adtte: pd.DataFrame | None
    adex: pd.DataFrame | None
    adae: pd.DataFrame | None
    published: dict[str, Any] | None = None
    adrs: pd.DataFrame | None = None


@dataclass
class Patient:
    """One invented patient; days count from enrolment."""

    subject: str
    arm: dict[str, Any]
    enrolled: pd.Timestamp
    pfs: int
    os: int
    progressed: bool
    died: bool
    lost: bool = False
    treated: bool = True
    infusion_days: list[int] = field(default_factory=list)

    def day(self, day: int) -> str:
        """ISO date of a day since enrolment."""
        return f"{self.enrolled + pd.Timedelta(days=day):%Y-%m-%d}"


def make_patients(arms: list[dict[str, Any]], sizes: list[int], *, event_free: str = "") -> list[Patient]:
    """Invent patients by arithmetic: later arms live longer, some are censored, some are lost."""
    patients = []
    for rank in range(max(sizes)):
        for at, (arm, size) in enumerate(zip(arms, sizes, strict=True)):
            if rank < size:
                patients.append(_make_patient(len(patients), at, arm, event_free == arm["code"]))
    return patients


def _make_patient(number: int, at: int, arm: dict[str, Any], event_free: bool) -> Patient:
    share = (0.37 + 0.618034 * number) % 1
    enrolled = FIRST_DAY + pd.Timedelta(days=41 * number)
    to_cut_off = (CUT_OFF - enrolled).days
    os = 60 + int((260 + 160 * at) * -math.log(1 - 0.96 * share))
    lost = number % 7 == 3
    died = os < to_cut_off and not lost and not event_free
    os = min(os, to_cut_off) if not event_free else to_cut_off
    pfs = min(os, 30 + int((0.25 + 0.5 * share) * os))
    progressed = not event_free and (number % 5 != 1)
    pfs = pfs if progressed else os
    patient = Patient(f"S-{number + 1:02d}", arm, enrolled, pfs, os, progressed, died, lost)
    patient.treated = number != 8
    interval = int(arm.get("interval_days", 14))
    planned = [3 + interval * k for k in range(arm["infusions"])]
    patient.infusion_days = [day for day in planned if patient.treated and day <= min(pfs, os)]
    return patient


def make_adsl(patients: list[Patient], study: str) -> pd.DataFrame:
    """One row per patient; one AFP is missing."""
    rows = []
    for number, one in enumerate(patients):
        status = "COMPLETED" if one.died else "DISCONTINUED" if one.lost else "ONGOING"
        rows.append(
            {
                "STUDYID": study,
                "USUBJID": one.subject,
                "TRT01P": one.arm["code"],
                "TRT01A": one.arm["code"] if one.treated else "",
                "AGE": str(41 + (7 * number) % 29),
                "SEX": "F" if number % 4 == 1 else "M",
                "AFP": "" if number == 2 else str(round(3.5 * 1.9 ** (number % 9), 1)),
                "CHILDPUG": "A" if number % 3 else "B",
                "SAFFL": "Y" if one.treated else "N",
                "TRTSDT": one.day(one.infusion_days[0]) if one.infusion_days else "",
                "TRTEDT": one.day(one.infusion_days[-1]) if one.infusion_days else "",
                "DTHDT": one.day(one.os) if one.died else "",
                "EOSSTT": status,
                "DCSREAS": "LOST TO FOLLOW-UP" if status == "DISCONTINUED" else "",
            }
        )
    return pd.DataFrame(rows)


def make_adtte(patients: list[Patient], unit: str, codes: list[str]) -> pd.DataFrame:
    """One row per patient and endpoint."""
    per_unit = {"days": 1, "months": 30.4375}[unit]
    rows = []
    for one in patients:
        pfs_event = one.progressed or one.died
        for code, day, event, words in [
            ("PFS", one.pfs, pfs_event, "DISEASE PROGRESSION" if one.progressed else "DEATH"),
            ("OS", one.os, one.died, "DEATH"),
        ]:
            if code in codes:
                rows.append(
                    {
                        "USUBJID": one.subject,
                        "PARAMCD": code,
                        "PARAM": f"{code} ({unit})",
                        "AVAL": str(day) if unit == "days" else repr(day / per_unit),
                        "AVALU": unit.upper(),
                        "CNSR": "0" if event else "1",
                        "STARTDT": one.day(0),
                        "ADT": one.day(day),
                        "EVNTDESC": words if event else "",
                        "CNSDTDSC": "" if event else "LOST TO FOLLOW-UP" if one.lost else "ALIVE AT CUT-OFF",
                    }
                )
    return pd.DataFrame(rows)


def make_adex(patients: list[Patient]) -> pd.DataFrame:
    """One row per infusion received."""
    rows = []
    for one in patients:
        doses = one.arm.get("doses") or [one.arm["dose"]] * one.arm["infusions"]
        for k, day in enumerate(one.infusion_days):
            rows.append(
                {
                    "USUBJID": one.subject,
                    "EXSEQ": str(k + 1),
                    "ASTDT": one.day(day),
                    "AENDT": one.day(day),
                    "EXDOSE": str(doses[k]),
                    "EXDOSU": "NORMAL DOSE",
                }
            )
    return pd.DataFrame(rows)


_EVENTS = [
    # every how many infusions, term, class, grade, related, serious, days after infusion, days it lasts
    (2, "Pyrexia", "General disorders", 1, "Y", "N", 0, 1),
    (3, "Fatigue", "General disorders", 2, "Y", "N", 1, 4),
    (5, "Anaemia", "Blood and lymphatic system disorders", 3, "N", "N", 2, None),
    (11, "Pneumonia", "Infections and infestations", 4, "N", "Y", 4, 12),
    (13, "Chills", "General disorders", 2, "Y", "N", 0, 0),
]


def make_adae(patients: list[Patient], *, words: bool = False) -> pd.DataFrame:
    """Events dated after infusions, every term at its own rhythm; grades as numbers or as words."""
    severity = {1: "MILD", 2: "MODERATE", 3: "SEVERE", 4: "LIFE THREATENING", 5: "FATAL"}
    rows = []
    count = 0
    for one in patients:
        for day in one.infusion_days:
            count += 1
            for every, term, organ, grade, related, serious, after, lasts in _EVENTS:
                if count % every or day + after > one.os:
                    continue
                end = None if lasts is None else min(day + after + lasts, one.os)
                rows.append(
                    {
                        "USUBJID": one.subject,
                        "AEDECOD": term,
                        "AEBODSYS": organ,
                        **({"AESEV": severity[grade]} if words else {"AETOXGR": str(grade)}),
                        "AEREL": related,
                        "AESER": serious,
                        "ASTDT": one.day(day + after),
                        "AENDT": "" if end is None else one.day(end),
                        "AEOUT": "NOT RECOVERED" if end is None else "RECOVERED",
                        "AEACN": "DRUG WITHDRAWN" if term == "Pneumonia" else "DOSE NOT CHANGED",
                        "TRTEMFL": "Y",
                    }
                )
    return pd.DataFrame(rows)


def make_adrs(subjects: pd.Series) -> pd.DataFrame:
    """Best responses and changes of tumour size, of the last patients no change."""
    words = ["PARTIAL RESPONSE", "SD", "PD", "NE", "MISSING", "CR"]
    best = [words[at % len(words)] for at in range(len(subjects))]
    best = pd.DataFrame({"USUBJID": subjects, "PARAMCD": "BOR", "AVALC": best, "AVAL": ""})
    sizes = [str(100 - 31 * at) for at in range(min(len(subjects), 6))]
    return pd.concat([best, best.head(len(sizes)).assign(PARAMCD="PCHG", AVALC="", AVAL=sizes)])


ENDPOINTS = [
    {
        "code": "PFS",
        "label": "Progression-free survival",
        "role": "progression_free_survival",
        "event": "progression or death",
    },
    {"code": "OS", "label": "Overall survival", "role": "overall_survival", "event": "death"},
]

_METADATA: dict[str, Any] = {
    "study_id": "PLAIN",
    "title": "An invented trial",
    "provenance": "illustrative",
    "time_unit": "months",
    "display_time_unit": "months",
    "data_cut_off": CUT_OFF.date(),
    "dose_unit": "relative to the normal dose",
    "endpoints": ENDPOINTS,
    "baseline": [
        {"column": "AGE", "label": "Age", "unit": "years"},
        {"column": "SEX", "label": "Sex", "kind": "categorical", "levels": {"F": "Female", "M": "Male"}},
        {"column": "AFP", "label": "Alpha-fetoprotein", "unit": "ng/mL"},
        {"column": "CHILDPUG", "label": "Child-Pugh class", "kind": "categorical"},
    ],
    "adverse_events": {"collected": True, "dictionary": "CTCAE v5.0"},
    "assumptions": [{"what": "Everything", "value": "invented", "why": "the tests need a trial"}],
}


def _arm(code: str, label: str, order: int, infusions: int, dose: float, **more: Any) -> dict[str, Any]:
    return {
        "code": code,
        "label": label,
        "order": order,
        "infusions": infusions,
        "dose": dose,
        "interval_days": 14,
        **more,
    }


def make_files(
    metadata: dict[str, Any], sizes: list[int], *, words: bool = False, event_free: str = ""
) -> Files:
    """Invent the tables of a trial described by its metadata."""
    patients = make_patients(metadata["arms"], sizes, event_free=event_free)
    codes = [endpoint["code"] for endpoint in metadata["endpoints"]]
    return Files(
        metadata,
        make_adsl(patients, metadata["study_id"]),
        make_adtte(patients, metadata["time_unit"], codes),
        make_adex(patients),
        make_adae(patients, words=words),
    )


def plain(*, event_free: str = "") -> Files:
    """Four arms of 3, 5, 6 and 4; months; grades as numbers; with published.yaml."""
    doses = [0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0]
    arms = [
        _arm("A", "A: low x 4", 1, 4, 0.5, assumed=["dose"]),
        _arm("B", "B: normal x 4", 2, 4, 1.0),
        _arm("C", "C: normal x 8", 3, 8, 1.0),
        _arm("D", "D: incremental x 8", 4, 8, 1.25, doses=doses, assumed=["dose", "infusions"]),
    ]
    files = make_files(copy.deepcopy(_METADATA) | {"arms": arms}, [3, 5, 6, 4], event_free=event_free)
    files.published = {
        "citation": "Nobody N. An invented report. J Invented 2026.",
        "claims": [
            {"kind": "total_size", "value": 18},
            *(
                {"kind": "group_size", "group": g, "value": n}
                for g, n in zip("ABCD", [3, 5, 6, 4], strict=True)
            ),
            {"kind": "first_enrolment", "value": FIRST_DAY.date()},
            {"kind": "last_enrolment", "value": (FIRST_DAY + pd.Timedelta(days=41 * 17)).date()},
            {"kind": "median", "endpoint": "OS", "value": 10.0, "decimals": 1},
            {"kind": "median", "endpoint": "PFS", "group": "A", "value": 1.5, "decimals": 1},
            {"kind": "logrank_p", "endpoint": "OS", "value": 0.0403, "decimals": 4},
            {"kind": "longest_follow_up", "value": 6, "decimals": 0, "unit": "years"},
            {"kind": "most_common_related_event", "value": "Pyrexia", "grade": 1},
            {"kind": "typical_resolution", "term": "Pyrexia", "value": 1},
        ],
    }
    return files


def small() -> Files:
    """Three other arms of 4, 3 and 5; days shown in months; severity as words; one patient untreated."""
    arms = [
        _arm("HIGH", "High dose", 30, 6, 2.0, interval_days=7),
        _arm("LOW", "Low dose", 10, 2, 0.25, interval_days=21),
        _arm("MID", "Middle dose", 20, 4, 1.0),
    ]
    metadata = copy.deepcopy(_METADATA) | {"study_id": "SMALL", "time_unit": "days", "arms": arms}
    return make_files(metadata, [4, 3, 5], words=True)


def os_only() -> Files:
    """As `small`, with overall survival alone and nothing optional in trial.yaml."""
    files = small()
    files.metadata |= {"endpoints": [ENDPOINTS[1]]}
    for key in (
        "baseline",
        "assumptions",
        "dose_unit",
        "data_cut_off",
        "display_time_unit",
        "adverse_events",
    ):
        del files.metadata[key]
    files.adtte = files.adtte[files.adtte["PARAMCD"] == "OS"]
    return files


def group_missing(kept: str = "AD") -> Files:
    """As `plain`, with arms A and D alone, or others, and nothing published."""
    files = plain()
    files.metadata["arms"] = [arm for arm in files.metadata["arms"] if arm["code"] in kept]
    files.adsl = files.adsl[files.adsl["TRT01P"].isin(list(kept))]
    for table in ("adtte", "adex", "adae"):
        frame = getattr(files, table)
        setattr(files, table, frame[frame["USUBJID"].isin(files.adsl["USUBJID"])])
    files.published = None
    return files


def one_arm() -> Files:
    """As `plain`, with arm C alone."""
    return group_missing("C")


def no_events_group() -> Files:
    """As `plain`, with nobody in group B progressing or dying."""
    return plain(event_free="B")


def no_adverse_events() -> Files:
    """As `plain`, with adverse events collected and none there: a header and no rows."""
    files = plain()
    files.adae = files.adae.iloc[:0]
    return files


def adverse_events_not_collected() -> Files:
    """As `plain`, without adverse events, and saying so."""
    files = plain()
    files.metadata["adverse_events"] = {"collected": False}
    files.adae = None
    return files


IMAGE = "<img src=x onerror=alert(1)>"


def hostile() -> Files:
    """As `small`, with markup, formulas and mathematics wherever text may stand."""
    files = small()
    codes = {"LOW": "<b>L", "MID": "$x$", "HIGH": "**H**"}
    for arm in files.metadata["arms"]:
        arm["code"] = codes[arm["code"]]
        arm["label"] = f"{arm['label']} <script>alert(1)</script> $x$ **b** _i_ & =1+1"
    files.adsl = files.adsl.replace({"TRT01P": codes, "TRT01A": codes, "CHILDPUG": {"A": IMAGE, "B": "=1+1"}})
    files.adae = files.adae.replace(
        {
            "AEDECOD": {
                "Pyrexia": IMAGE,
                "Fatigue": "=1+1",
                "Anaemia": "$x$ **b**",
                "Chills": "@SUM(A1) [a](javascript:b)",
            }
        }
    )
    files.adae = files.adae.replace({"AEBODSYS": {"General disorders": "+1 <i>class</i> $\\frac$"}})
    for table in ("adsl", "adtte", "adex", "adae"):
        setattr(
            files, table, getattr(files, table).replace({"USUBJID": {"S-01": "=S<01>", "S-02": "$S_02$"}})
        )
    files.adrs = make_adrs(files.adsl["USUBJID"])
    files.metadata |= {
        "response": {"change": "PCHG"},
        "title": f"{IMAGE} $x$ **b** =1+1",
        "dose_unit": f"$x$ {IMAGE}",
        "registration": "=1+1",
        "source": "<script>alert(1)</script> `code` $x$",
        "assumptions": [{"what": IMAGE, "value": "=1+1", "why": "$x$ **b** <i>"}],
    }
    files.metadata["adverse_events"]["dictionary"] = f"$x$ {IMAGE}"
    for each in [*files.metadata["endpoints"], *files.metadata["baseline"]]:
        each["label"] += f" {IMAGE} $x$ **b**"
    files.metadata["baseline"][0]["unit"] = "<i>$y$</i>"
    files.metadata["baseline"][1]["levels"] = {"F": IMAGE, "M": "=1+1"}
    return files


VARIANTS: dict[str, Callable[[], Files]] = {
    "plain": plain,
    "small": small,
    "os_only": os_only,
    "group_missing": group_missing,
    "one_arm": one_arm,
    "no_events_group": no_events_group,
    "no_adverse_events": no_adverse_events,
    "adverse_events_not_collected": adverse_events_not_collected,
    "hostile": hostile,
}


def write_trial(folder: Path, *, variant: str = "plain", **changes: Any) -> Path:
    """Write a trial's folder and return it.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    variant : str
        A key of `VARIANTS`.
    **changes
        By part (`metadata published adsl adtte adex adae adrs`): a new part, a function from the old part to
        the new one, or None to leave the file out. Text is written as it is.
    """
    files = copy.deepcopy(VARIANTS[variant]())
    for part, change in changes.items():
        setattr(files, part, change(getattr(files, part)) if callable(change) else change)
    return write_files(folder, files)


def write_files(folder: Path, files: Files) -> Path:
    """Write what a trial's folder holds and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"metadata": "trial.yaml", "published": "published.yaml"}
    for part, content in vars(files).items():
        path = folder / names.get(part, f"{part}.csv")
        if isinstance(content, pd.DataFrame):
            content.to_csv(path, index=False, lineterminator="\n")
        elif isinstance(content, dict):
            path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
        elif content is not None:
            path.write_text(content, "utf-8")
    return folder


def edit_cell(folder: Path, table: str, row: int, column: str, value: str) -> None:
    """Change one cell of a written trial; `row` is the line number, the header being 1."""
    path = folder / f"{table.lower()}.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[row - 2, column] = value
    frame.to_csv(path, index=False, lineterminator="\n")


def edit_text(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text that must be there."""
    text = path.read_text("utf-8")
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, 1), "utf-8")
