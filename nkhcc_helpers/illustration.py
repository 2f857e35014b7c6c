"""The tables of the illustrative trial: infusions, baseline and adverse events around given times.

All of it is assumed, and listed in `trial.yaml`; `reconstruction` draws the times that meet the published
numbers.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from nkhcc_helpers.metadata import DAYS_PER_UNIT

RELATED_EVENTS = (
    # term, organ class, probability per infusion, share of grade 2 (else 1), longest duration in days
    ("Pyrexia", "General disorders and administration site conditions", 0.34, 0.10, 1),
    ("Chills", "General disorders and administration site conditions", 0.09, 0.00, 1),
    ("Fatigue", "General disorders and administration site conditions", 0.07, 0.15, 6),
    ("Headache", "Nervous system disorders", 0.04, 0.00, 2),
    ("Nausea", "Gastrointestinal disorders", 0.05, 0.20, 3),
)
OTHER_EVENTS = (
    # term, organ class, probability per patient, grade, serious, longest duration in days
    ("Abdominal pain", "Gastrointestinal disorders", 0.25, 2, False, 20),
    ("Ascites", "Gastrointestinal disorders", 0.15, 2, False, 40),
    ("Upper gastrointestinal hemorrhage", "Gastrointestinal disorders", 0.08, 3, True, 12),
    ("Lung infection", "Infections and infestations", 0.10, 3, True, 21),
    ("Alanine aminotransferase increased", "Investigations", 0.25, 1, False, 28),
    ("Blood bilirubin increased", "Investigations", 0.20, 2, False, 35),
    ("Lymphocyte count decreased", "Investigations", 0.20, 3, False, 28),
    ("Anemia", "Blood and lymphatic system disorders", 0.20, 1, False, 60),
)


def draw_infusions(rng, metadata, cohort):
    """Draw infusions by the arm's schedule, stopped at progression or death.

    Parameters
    ----------
    rng : numpy.random.Generator
    metadata : TrialMetadata
    cohort : DataFrame
        One row per patient: ``group`` (number), ``enrolled`` (date), ``pfs os`` (days), ``progressed died
        survivor`` (boolean).

    Returns
    -------
    DataFrame
        Columns ``patient sequence day dose``; days from enrolment.
    """
    rows = []
    for patient, row in enumerate(cohort.itertuples()):
        arm = metadata.arms[row.group]
        doses = arm.doses or [arm.dose] * arm.infusions
        first = int(rng.integers(1, 6))
        late = np.concatenate([[0], rng.integers(0, 3, arm.infusions - 1)])
        days = first + np.arange(arm.infusions) * int(arm.interval_days) + late
        rows += [
            (patient, sequence, int(day), dose)
            for sequence, (day, dose) in enumerate(zip(days, doses, strict=True), start=1)
            if day < row.pfs
        ]
    return pd.DataFrame(rows, columns=["patient", "sequence", "day", "dose"])


def make_adsl(rng, metadata, cohort, infusions):
    """Make ADSL: baseline characteristics drawn independently of group and outcome."""
    n = len(cohort)
    treated = infusions.groupby("patient")["day"].agg(["min", "max"])
    afp = np.round(np.exp(rng.normal(5.0, 1.8, n)), 1)
    afp[rng.integers(n)] = np.nan
    status = np.where(cohort["died"], "DEATH", np.where(cohort["survivor"], "", "LOST TO FOLLOW-UP"))
    return pd.DataFrame(
        {
            **_identify(metadata, cohort),
            "TRT01A": _identify(metadata, cohort)["TRT01P"],
            "AGE": np.clip(np.round(rng.normal(52, 9, n)), 24, 74).astype(int),
            "SEX": np.where(rng.random(n) < 0.2, "F", "M"),
            "RECMON": np.round(np.exp(rng.normal(2.1, 0.7, n)), 1),
            "AFP": afp,
            "CHILDPGH": np.where(rng.random(n) < 0.25, "B", "A"),
            "EXTRAHEP": np.where(rng.random(n) < 0.55, "Y", "N"),
            "SAFFL": "Y",
            "ENRLDT": cohort["enrolled"],
            "TRTSDT": _add_days(cohort["enrolled"], treated["min"]),
            "TRTEDT": _add_days(cohort["enrolled"], treated["max"]),
            "DTHDT": _add_days(cohort["enrolled"], cohort["os"].where(cohort["died"])),
            "EOSSTT": np.where(status == "", "ONGOING", "DISCONTINUED"),
            "DCSREAS": status,
        }
    )


def make_adtte(metadata, cohort):
    """Make ADTTE: both endpoints, whole days in months of 30.4375 days."""
    parts = []
    for endpoint, time, event, seen in (
        (metadata.endpoints[0], "pfs", "progressed", "Disease progression"),
        (metadata.endpoints[1], "os", "died", "Death"),
    ):
        censored = np.where(cohort["survivor"], "Alive at data cut-off", "Lost to follow-up")
        parts.append(
            pd.DataFrame(
                {
                    **_identify(metadata, cohort),
                    "PARAMCD": endpoint.code,
                    "PARAM": f"{endpoint.label} (months)",
                    "AVAL": (cohort[time] / DAYS_PER_UNIT["months"]).round(4),
                    "AVALU": "MONTHS",
                    "CNSR": (~cohort[event]).astype(int),
                    "STARTDT": cohort["enrolled"],
                    "ADT": _add_days(cohort["enrolled"], cohort[time]),
                    "EVNTDESC": np.where(cohort[event], seen, ""),
                    "CNSDTDSC": np.where(cohort[event], "", censored),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def make_adex(metadata, cohort, infusions):
    """Make ADEX: one row per infusion."""
    of = cohort.iloc[infusions["patient"]]
    date = _add_days(of["enrolled"], infusions["day"])
    return pd.DataFrame(
        {
            **_identify(metadata, of),
            "EXSEQ": infusions["sequence"],
            "ASTDT": date,
            "AENDT": date,
            "EXDOSE": infusions["dose"],
            "EXDOSU": "NORMAL DOSE",
        }
    )


def make_adae(rng, metadata, cohort, infusions):
    """Make ADAE: related events around infusions, others around the course of the disease."""
    events = pd.DataFrame(
        [*_draw_related_events(rng, infusions), *_draw_other_events(rng, cohort, infusions)],
        columns=["patient", "term", "organ_class", "grade", "related", "serious", "onset", "duration"],
    )
    of = cohort.iloc[events["patient"]].reset_index(drop=True)
    end = events["onset"] + events["duration"]
    # An event that outlasts the patient's follow-up was never seen to resolve.
    resolved = end <= of["os"]
    events = events.assign(onset_date=_add_days(of["enrolled"], events["onset"]))
    events["end_date"] = _add_days(of["enrolled"], end.where(resolved))
    table = pd.DataFrame(
        {
            **_identify(metadata, of.assign(patient=events["patient"])),
            "AEDECOD": events["term"],
            "AEBODSYS": events["organ_class"],
            "AETOXGR": events["grade"],
            "AEREL": np.where(events["related"], "RELATED", "NOT RELATED"),
            "AESER": np.where(events["serious"], "Y", "N"),
            "ASTDT": events["onset_date"],
            "AENDT": events["end_date"],
            "AEOUT": np.where(resolved, "RECOVERED/RESOLVED", "NOT RECOVERED/NOT RESOLVED"),
            "AEACN": "DOSE NOT CHANGED",
            "TRTEMFL": "Y",
        }
    )
    table = table.sort_values(["USUBJID", "ASTDT", "AEDECOD"], kind="stable", ignore_index=True)
    table.insert(3, "AESEQ", table.groupby("USUBJID").cumcount() + 1)
    return table


def _draw_related_events(rng, infusions):
    for row in infusions.itertuples():
        for term, organ_class, probability, grade_2, longest in RELATED_EVENTS:
            occurs, worse, onset, lasts = rng.random(4)
            if occurs < probability:
                grade = 2 if worse < grade_2 else 1
                # A worse event takes longer; most events of a day or less.
                duration = longest + 2 if worse < grade_2 else int(lasts * (longest + 1))
                yield (
                    row.patient,
                    term,
                    organ_class,
                    grade,
                    True,
                    False,
                    row.day + int(onset < 0.25),
                    duration,
                )


def _draw_other_events(rng, cohort, infusions):
    last = infusions.groupby("patient")["day"].max()
    for patient, row in enumerate(cohort.itertuples()):
        for term, organ_class, probability, grade, serious, longest in OTHER_EVENTS:
            occurs, when, lasts = rng.random(3)
            if occurs < probability:
                onset = min(int(when * (last[patient] + 28)) + 6, row.os - 1)
                yield (patient, term, organ_class, grade, False, serious, onset, 2 + int(lasts * longest))


def _identify(metadata, cohort):
    patient = cohort.get("patient", cohort.index)
    return {
        "STUDYID": metadata.study_id,
        "USUBJID": [f"ILL-{number + 1:03d}" for number in patient],
        "TRT01P": [metadata.arms[group].code for group in cohort["group"]],
    }


def _add_days(start, days):
    start = pd.to_datetime(pd.Series(list(start)))
    return (start + pd.to_timedelta(pd.Series(list(days)), unit="D")).dt.strftime("%Y-%m-%d")
