"""Hand-made statistics frames, of the columns that tables and figures take, for three kinds of trial."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

HOSTILE = "<img src=x onerror=alert(1)>"
ARMS = {
    "four": {
        "A": ("A: low dose x 4", 3),
        "B": ("B: normal dose x 4", 5),
        "C": ("C: normal dose x 8", 6),
        "D": ("D: incremental dose x 8", 4),
    },
    "hostile": {
        "X": (f"{HOSTILE} with a label that goes on and on for much longer than it should", 2),
        "=1+1": ("$x$ =1+1 \\frac{a}{b} {{m^2}} **b** 中", 1),
    },
    "seven": {str(i): (f"Cohort {i}: dose level {i} every two weeks", i) for i in range(1, 8)},
}


def make_trial(kind="four", *, illustrative=True):
    """A stand-in for what tables and figures ask of a trial."""
    labels = {code: label for code, (label, _) in ARMS[kind].items()}
    return SimpleNamespace(
        groups=list(labels),
        group_labels=labels,
        endpoint_labels={"OS": "Overall survival", "PFS": "Progression-free survival"},
        unit="months",
        is_illustrative=illustrative,
        metadata=SimpleNamespace(dose_unit="relative to the normal dose"),
    )


def list_sizes(kind="four"):
    """Patients per group, then all of them, under an ordered categorical as the package makes it."""
    sizes = {code: n for code, (_, n) in ARMS[kind].items()}
    sizes["All"] = sum(sizes.values())
    group = pd.Categorical(list(sizes), list(sizes), ordered=True)
    return pd.DataFrame({"group": group, "n": list(sizes.values())})


def make_disposition(kind="four"):
    frame = list_sizes(kind).rename(columns={"n": "n_enrolled"})
    n = frame["n_enrolled"]
    return frame.assign(
        n_treated=n,
        n_completed=n - 1,
        n_fewer=1,
        n_progressed=pd.array([pd.NA] * len(n), dtype="Int64"),
        n_died=n - 1,
        n_alive=1,
        n_lost=0,
    )


def make_baseline(kind="four"):
    rows = []
    for group, n in list_sizes(kind).itertuples(index=False):
        one = {"variable": "AGE", "label": "Age", "unit": "years", "kind": "continuous", "level": ""}
        sd = 8.25 if n > 1 else np.nan
        one |= {"group": group, "n": n, "n_missing": 0, "mean": 52.04, "sd": sd}
        rows.append({**one, "median": 52.5, "minimum": 41.0, "maximum": 67.0})
        rows.append({**rows[-1], "variable": "AFP", "label": HOSTILE, "unit": "", "n": 0, "n_missing": n})
        rows[-1] |= dict.fromkeys(["mean", "sd", "median", "minimum", "maximum"], np.nan)
        for level, count in {"Female": 0, "Male": n}.items():
            sex = {"variable": "SEX", "label": "Sex", "unit": "", "kind": "categorical", "level": level[0]}
            sex |= {"level_label": level, "group": group, "n": n, "n_missing": 0}
            rows.append({**sex, "count": count, "percent": 100.0 * count / n})
    return pd.DataFrame(rows).sort_values("variable", kind="stable", ignore_index=True)


def make_exposure(kind="four"):
    frame = list_sizes(kind)
    planned = [4.0] * (len(frame) - 1) + [np.nan]
    frame = frame.assign(planned_infusions=planned, n_completed=frame["n"] - 1, planned_dose=planned)
    for name, (median, low, high) in {"received": (3.5, 1, 4), "received_dose": (2.25, 0.5, 10)}.items():
        frame = frame.assign(
            **{f"{name}_median": median, f"{name}_minimum": float(low), f"{name}_maximum": float(high)}
        )
    return frame


def make_summary(kind="four"):
    """Medians: the first group's is not reached, every upper limit is unbounded."""
    frame = list_sizes(kind).assign(group=lambda f: f["group"].astype("str"))
    return frame.assign(
        n_events=frame["n"] - 1,
        median=[np.nan] + [12.6] * (len(frame) - 1),
        ci_lower=0.9,
        ci_upper=np.inf,
        coverage=0.75,
        minimum=1.25,
        minimum_censored=False,
        maximum=108.0,
        maximum_censored=True,
        longest=108.0,
    )


def make_curves(kind="four"):
    """Each group: one event at a time of its own, then the last patient censored at 108 (10 if alone)."""
    parts = []
    for i, (group, n) in enumerate(ARMS[kind].items()):
        size = n[1]
        part = pd.DataFrame({"time": [0.0, 5.0 + i, 108.0], "n_at_risk": [size, size, size - 1]})
        part = part.assign(n_events=[0, 1, 0], n_censored=[0, 0, size - 1])
        part = part.assign(survival=[1.0, 1 - 1 / size, 1 - 1 / size])
        part = part.assign(ci_lower=[1.0, 0.1, np.nan], ci_upper=[1.0, 0.9, np.nan])
        part.insert(0, "group", group)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def make_counts(kind="four"):
    times = [0.0, 12.0, 24.0, 36.0, 48.0, 60.0, 72.0, 84.0, 96.0, 108.0]
    parts = [
        pd.DataFrame({"group": group, "time": times, "n_at_risk": n, "n_events": 1, "n_censored": 0})
        for group, (_, n) in ARMS[kind].items()
    ]
    return pd.concat(parts, ignore_index=True)


def make_courses(kind="four"):
    rows = []
    for group, (_, n) in ARMS[kind].items():
        for i in range(n):
            last = 108.0 if i == n - 1 else 6.0 + i
            alive = i == n - 1
            death = np.nan if alive else last
            rows.append((f"STUDY-{group}{i:02d}", group, 2.5 if i % 2 else np.nan, death, last, alive))
    columns = ["USUBJID", "group", "progression", "death", "last_contact", "alive"]
    return pd.DataFrame(rows, columns=columns)


def make_infusion_times(courses, *, every=0.46):
    parts = [
        pd.DataFrame({"USUBJID": name, "group": group, "infusion": [1, 2, 3], "dose": 1.0})
        for name, group in zip(courses["USUBJID"], courses["group"], strict=True)
    ]
    given = pd.concat(parts, ignore_index=True)
    return given.assign(time=(given["infusion"] - 1) * every)


def make_enrolment(kind="four"):
    rows = [
        (group, pd.Timestamp("2014-12-31") + pd.Timedelta(days=100 * i + j), i + 1)
        for j, (group, (_, n)) in enumerate(ARMS[kind].items())
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["group", "date", "n_enrolled"])


def make_ratios(kind="four"):
    """An ordinary ratio, one with an interval without end, one that is not estimable; two models."""
    second = list(ARMS[kind])[1]
    return pd.DataFrame(
        {
            "model": ["Dose and infusions", "Dose and infusions", "Group"],
            "covariate": ["dose", "infusions", f"group {second}"],
            "hr": [0.37, 2e-9, np.nan],
            "ci_lower": [0.1, 0.0, np.nan],
            "ci_upper": [1.3, np.inf, np.nan],
            "p_value": [0.12, 0.00001, np.nan],
        }
    )


def make_design(kind="four"):
    arms = ARMS[kind]
    dose = [0.5, 1.0, 1.0, 1.25, 2.0, 3.0, 4.0][: len(arms)]
    infusions = [4.0, 4.0, 8.0, 8.0, 8.0, 8.0, 12.0][: len(arms)]
    n = [size for _, size in arms.values()]
    points = pd.DataFrame({"dose": dose, "infusions": infusions, "groups": list(arms)})
    return points.assign(n=n, n_events=[max(size - 1, 1) for size in n])


def make_contrasts(points):
    rows = []
    for i in range(len(points)):
        for j in range(i + 1, len(points)):
            first, second = points.iloc[i], points.iloc[j]
            changed = [name for name in ("dose", "infusions") if first[name] != second[name]]
            if len(changed) == 1:
                rows.append((changed[0], first["groups"], second["groups"]))
    return pd.DataFrame(rows, columns=["covariate", "first", "second"])


def make_terms(kind="four"):
    """Pyrexia in everyone, one of each group at grade 3; other terms in one of each group but the first."""
    terms = [
        ("", "Any adverse event"),
        ("General disorders", "Pyrexia"),
        ("Not coded", HOSTILE),
        ("Not coded", "$x$"),
    ]
    sizes = list_sizes(kind)
    rows = []
    for organ_class, term in terms:
        for grade in ("any", "1", "2", "3", "4", "5", "3+", "missing"):
            for i, (group, n) in enumerate(sizes.itertuples(index=False)):
                everyone = {"any": n, "1": n - 1, "3": 1, "3+": 1}
                others = {"any": int(i > 0), "1": int(i > 0)}
                found = (everyone if organ_class in ("", "General disorders") else others).get(grade, 0)
                row = {"organ_class": organ_class, "term": term, "grade": grade, "group": group}
                row |= {"n_patients": found, "n_evaluable": n, "percent": 100.0 * found / n}
                rows.append(row)
    return pd.DataFrame(rows).astype({"n_patients": "Int64"})


def make_overview(kind="four"):
    sizes = list_sizes(kind)
    parts = [
        sizes.rename(columns={"n": "n_evaluable"}).assign(
            category=category, label=label, n_patients=n, n_events=2 * n
        )
        for category, label, n in (("any", "Any adverse event", 1), ("fatal", "Fatal", 0))
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.assign(percent=100 * frame["n_patients"] / frame["n_evaluable"])
    serious = frame[frame["category"] == "any"].assign(category="serious", label="Serious", percent=np.nan)
    serious = serious.assign(n_patients=pd.NA, n_events=pd.NA)
    return pd.concat(
        [
            frame.astype({"n_patients": "Int64", "n_events": "Int64"}),
            serious.astype({"n_patients": "Int64", "n_events": "Int64"}),
        ],
        ignore_index=True,
    )


def make_onset():
    return pd.DataFrame(
        {
            "term": ["Pyrexia", HOSTILE, "$x$"],
            "n_patients": [12, 1, 1],
            "n_events": [30, 1, 1],
            "onset_median": [0.5, 3.0, np.nan],
            "onset_minimum": [0.0, 3.0, np.nan],
            "onset_maximum": [4.0, 3.0, np.nan],
            "duration_median": [1.0, 10.0, np.nan],
            "duration_minimum": [0.0, 10.0, np.nan],
            "duration_maximum": [3.0, 10.0, np.nan],
            "n_ongoing": [0, 0, 1],
            "percent_within_one_day": [86.7, 0.0, np.nan],
        }
    )


def make_listing(kind="four"):
    first = next(iter(ARMS[kind]))
    return pd.DataFrame(
        {
            "USUBJID": ["NK-01", "=1+1"],
            "group": [first, first],
            "term": ["Pyrexia", HOSTILE],
            "grade": pd.array([3, pd.NA], dtype="Int64"),
            "day": [15.0, np.nan],
            "latest_infusion": [2.0, np.nan],
            "days_since_infusion": [0.0, np.nan],
            "related": pd.array([True, pd.NA], dtype="boolean"),
            "serious": pd.array([False, True], dtype="boolean"),
            "outcome": ["RECOVERED", ""],
        }
    )


def make_residuals():
    rank = [1.0, 2.0, 3.5, 3.5]
    parts = [
        pd.DataFrame({"covariate": name, "time": rank, "rank": rank, "residual": [0.5, -0.5, 1.0, -1.0]})
        for name in ("dose", "infusions", "group B")
    ]
    return pd.concat(parts, ignore_index=True)
