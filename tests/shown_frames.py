"""Hand-made statistics frames, of the columns that tables and figures take, for three kinds of trial."""

from datetime import date
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
        survival=lambda endpoint: pd.DataFrame({"group": list(labels)}),
        subjects=pd.DataFrame({"group": list(labels), "treated": True}),
        is_illustrative=illustrative,
        metadata=SimpleNamespace(
            dose_unit="relative to the normal dose",
            treatment_word="infusion",
            data_cut_off=date(2025, 9, 30),
            exposure=SimpleNamespace(collected=True),
        ),
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
    spreads = {"received": (3.5, 1, 4), "received_dose": (2.25, 0.5, 10), "duration": (44, 16, 45)}
    spreads["intensity"] = (np.nan, np.nan, np.nan)
    for name, (median, low, high) in spreads.items():
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
    start = (given["infusion"] - 1) * every
    return given.assign(time=start, end=start)


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


def make_permuted_ratios(kind="four"):
    """As `make_ratios`, with limits and P by permutation: exact, by draws, and without a pure contrast."""
    return make_ratios(kind).assign(
        p_permutation=[0.1512, 0.00321, np.nan],
        p_permutation_error=[0.0, 0.00041, np.nan],
        exact_lower=[0.05, 0.0, np.nan],
        exact_upper=[2.1, 0.012, np.nan],
    )


def make_sweep(kind="four"):
    """The dose of the first group and the infusions of the last, moved; one dose in the middle has no fit."""
    first, *_, last = ARMS[kind]
    numbers = {
        (first, "dose", 0.5): [0.25, 0.5, 1.0, 2.0],
        (last, "infusions", 8): [4, 6, 8, 12, 16],
    }
    rows = [
        (group, quantity, float(value), float(assumed), value == assumed, covariate, 0.2 + 0.1 * i)
        for (group, quantity, assumed), values in numbers.items()
        for i, value in enumerate(values)
        for covariate in ("dose", "infusions")
    ]
    columns = ["group", "quantity", "value", "assumed_value", "is_assumed", "covariate", "hr"]
    frame = pd.DataFrame(rows, columns=columns).assign(p_value=0.04)
    frame["hr"] = frame["hr"].mask((frame["value"] == 1.0) & (frame["quantity"] == "dose"))
    estimable = frame["hr"].notna()
    upper = (frame["hr"] * 4).mask(frame["value"] == 16, np.inf)
    lower = (frame["hr"] / 4).mask(frame["value"] == 16, 0.0)
    return frame.assign(
        coef=np.log(frame["hr"]), ci_lower=lower.where(estimable), ci_upper=upper.where(estimable)
    )


def make_left_out(kind="four", *, times=1):
    """Without the first patient dose turns, without the last infusions cannot be estimated."""
    groups = [group for group, (_, n) in ARMS[kind].items() for _ in range(n * times)]
    names = [f"STUDY-{i:03d}" for i in range(1, len(groups) + 1)]
    wave = np.sin(np.arange(len(groups)))
    parts = [
        pd.DataFrame({"USUBJID": names, "group": groups, "covariate": name, "hr": hr, "hr_all": whole})
        for name, hr, whole in (
            ("dose", np.exp(-0.9 + 0.4 * wave), 0.4),
            ("infusions", np.exp(0.01 * wave), 1.01),
        )
    ]
    parts[0].loc[0, "hr"] = 1.2
    parts[1].loc[len(groups) - 1, "hr"] = np.nan
    frame = pd.concat(parts, ignore_index=True).assign(coef=lambda f: np.log(f["hr"]))
    turned = np.sign(frame["coef"]) != np.sign(np.log(frame["hr_all"]))
    return frame.assign(changes_sign=turned & frame["hr"].notna())


def make_comparison():
    """As `cox.compare_models`: an ordinary model, one that is not estimable, and the largest."""
    return pd.DataFrame(
        {
            "model": ["Dose", "Order", "Group"],
            "df": [1, 1, 3],
            "log_likelihood": [-31.234, np.nan, -28.0],
            "lr_statistic": [4.25, np.nan, 10.718],
            "p_value": [0.0393, np.nan, 0.0133],
            "lack_df": [2, 2, 0],
            "lack_statistic": [6.468, np.nan, np.nan],
            "lack_p_value": [0.0394, np.nan, np.nan],
            "p_permutation": [0.0412, np.nan, 0.0249],
            "p_permutation_error": [0.0, np.nan, 0.0035],
            "lack_p_permutation": [0.0611, np.nan, np.nan],
            "lack_p_permutation_error": [0.0054, np.nan, np.nan],
            "aicc": [64.74, np.nan, np.nan],
        }
    )


def make_attained_cox(kind="four"):
    """Likelihood too ready to reject; intervals too narrow, but for the permuted, which infusions lack."""
    tests = ("wald", "likelihood ratio", "firth wald", "firth", "permuted")
    models = {"Dose and infusions": ["dose", "infusions", "All"], "Each group": []}
    models["Each group"] = [*(f"group {code}" for code in list(ARMS[kind])[1:]), "All"]
    rows = [
        (model, covariate, test, 0.12 if test == "likelihood ratio" else 0.045, 0.9)
        for model, covariates in models.items()
        for covariate in covariates
        for test in tests
        if covariate != "All" or "wald" not in test
    ]
    frame = pd.DataFrame(rows, columns=["model", "covariate", "test", "rejected", "coverage"])
    frame = frame.assign(rejected_error=0.005, coverage_error=0.007, not_estimable=0.0)
    frame.loc[frame["test"] == "permuted", "coverage"] = 0.955
    frame.loc[frame["covariate"] == "All", ["coverage", "coverage_error"]] = np.nan
    frame.loc[frame["test"].isin(["wald", "likelihood ratio"]), "not_estimable"] = 0.083
    never = (frame["test"] == "permuted") & (frame["covariate"] == "infusions")
    frame.loc[never, ["rejected", "coverage", "not_estimable"]] = [0.0, 0.0, 1.0]
    return frame


def make_received():
    """As `cox.fit_received`: the last fit has nobody left to differ."""
    return pd.DataFrame(
        {
            "fit": ["received", "planned", "so far", "landmark received", "landmark planned"],
            "covariate": "infusions",
            "n": [18, 18, 18, 12, 12],
            "n_events": [17, 17, 17, 11, 11],
            "hr": [0.512, 0.71, 0.98, 0.83, np.nan],
            "ci_lower": [0.3, 0.5, 0.6, 0.0, np.nan],
            "ci_upper": [0.8, 1.0, 1.6, np.inf, np.nan],
            "p_value": [0.00004, 0.05, 0.9, 0.5, np.nan],
            "landmark": [np.nan, np.nan, np.nan, 1.8398, 1.8398],
        }
    ).assign(coef=lambda frame: np.log(frame["hr"]))


def make_immortal_time():
    return pd.DataFrame(
        {
            "fit": ["received", "planned", "so far", "landmark received", "landmark planned"],
            "rejected": [0.4125, 0.052, 0.0601, 0.06, np.nan],
            "error": [0.011, 0.005, 0.0053, 0.0053, np.nan],
            "n_trials": 2000,
            "not_estimable": [0.0, 0.0, 0.0012, 0.0, 1.0],
            "median_hr": [0.612, 0.998, 1.01, 1.0, np.nan],
        }
    )


def make_codings():
    codings = ["relative", "relative", "log2", "log2"]
    return pd.DataFrame(
        {
            "dose_coding": codings,
            "covariate": ["dose", "infusions"] * 2,
            "hr": [0.21, 0.72, np.nan, np.nan],
            "ci_lower": [0.03, 0.52, np.nan, np.nan],
            "ci_upper": [np.inf, 0.97, np.nan, np.nan],
            "p_value": [0.11, 0.031, np.nan, np.nan],
            "hr_range": [0.31, 0.268, np.nan, np.nan],
        }
    )


def make_design(kind="four"):
    arms = ARMS[kind]
    dose = [0.5, 1.0, 1.0, 1.25, 2.0, 3.0, 4.0][: len(arms)]
    infusions = [4.0, 4.0, 8.0, 8.0, 8.0, 8.0, 12.0][: len(arms)]
    n = [size for _, size in arms.values()]
    points = pd.DataFrame({"dose": dose, "infusions": infusions, "groups": list(arms)})
    points["codes"] = [(code,) for code in arms]
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
        ("overall", "", "Any adverse event"),
        ("organ class", "General disorders", "Any event of the class"),
        ("term", "General disorders", "Pyrexia"),
        ("term", "Not coded", HOSTILE),
        ("term", "Not coded", "$x$"),
    ]
    sizes = list_sizes(kind)
    rows = []
    for level, organ_class, term in terms:
        for grade in ("any", "1", "2", "3", "4", "5", "3+", "missing"):
            for i, (group, n) in enumerate(sizes.itertuples(index=False)):
                everyone = {"any": n, "1": n - 1, "3": 1, "3+": 1}
                others = {"any": int(i > 0), "1": int(i > 0)}
                found = (everyone if organ_class in ("", "General disorders") else others).get(grade, 0)
                row = {"level": level, "organ_class": organ_class, "term": term, "grade": grade}
                row["group"] = group
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
    """As `summarize_onset`: ended, one that lasts, one of which nothing is known."""
    return pd.DataFrame(
        {
            "term": ["Pyrexia", HOSTILE, "$x$"],
            "n_patients": [12, 1, 1],
            "n_events": [30, 1, 1],
            "onset_median": [0.5, 3.0, np.nan],
            "onset_minimum": [0.0, 3.0, np.nan],
            "onset_maximum": [4.0, 3.0, np.nan],
            "duration_median": [1.0, np.nan, np.nan],
            "duration_lower": [0.0, 0.0, np.nan],
            "duration_upper": [3.0, np.inf, np.nan],
            "duration_maximum": [5.0, np.nan, np.nan],
            "n_ongoing": [0, 1, 0],
            "n_fatal": [0, 0, 0],
            "n_unknown_end": [0, 0, 1],
            "n_imputed": [2, 0, 0],
            "percent_within_one_day": [86.7, 0.0, np.nan],
        }
    )


def make_shares(kind="four"):
    """The overview with limits: everyone's interval is wide, what was not recorded has none."""
    frame = make_overview(kind)
    known = frame["percent"].notna()
    lower, upper = (frame["percent"] - 15).clip(lower=0), (frame["percent"] + 45).clip(upper=100)
    return frame.assign(ci_lower=lower.where(known), ci_upper=upper.where(known))


def make_differences(kind="four"):
    """Each group against the first, in percentage points; of what was not recorded there is none."""
    frame = make_shares(kind)
    first = next(iter(ARMS[kind]))
    frame = frame[~frame["group"].isin([first, "All"])].assign(reference=first)
    known = frame["percent"].notna()
    frame = frame.assign(difference=(frame["percent"] - 30).where(known))
    frame["ci_lower"] = (frame["difference"] - 50).where(known)
    frame["ci_upper"] = (frame["difference"] + 60).where(known)
    frame["interval"] = "exact unconditional"
    keys = ["category", "label", "group", "reference", "difference", "ci_lower", "ci_upper", "interval"]
    return frame[keys].reset_index(drop=True)


def make_timelines(kind="four", *, times=1):
    """Three infusions each; fever after two, an event that goes on, one of which the end is not known."""
    patients, infusions, events = [], [], []
    for group, (_, n) in ARMS[kind].items():
        for i in range(n * times):
            name = f"STUDY-{group}{i:02d}"
            patients.append((name, group, 400.0 if i % 2 else 60.0))
            infusions += [(name, group, number + 1, 14.0 * number) for number in range(3)]
            events += [
                (name, group, "Pyrexia", 1 + i % 5, 14.0 * number, 14.0 * number, "ended")
                for number in (0, 1)
            ]
            events.append((name, group, HOSTILE, 2, 10.0, 30.0, "ended"))
            events.append((name, group, "$x$", pd.NA, 12.0, 60.0, "ongoing"))
            events.append((name, group, "Chills", 3, 28.0, np.nan, "unknown"))
    columns = ["USUBJID", "group", "term", "grade", "day", "end_day", "ending"]
    return SimpleNamespace(
        patients=pd.DataFrame(patients, columns=["USUBJID", "group", "last_day"]),
        infusions=pd.DataFrame(infusions, columns=["USUBJID", "group", "infusion", "day"]).assign(
            end_day=lambda each: each["day"]
        ),
        events=pd.DataFrame(events, columns=columns).astype({"grade": "Int64"}),
        n_undated=2,
    )


def make_first_events(kind="four"):
    """Each group: one patient with an event on a day of its own, one death on day 40, the rest to day 60."""
    parts = []
    for i, (group, (_, n)) in enumerate(ARMS[kind].items()):
        part = pd.DataFrame({"time": [0.0, 2.0 + i, 40.0, 60.0], "n_at_risk": [n, n, n - 1, max(n - 2, 0)]})
        part = part.assign(event_probability=[0.0, 1 / n, 1 / n, 1 / n], lower=0.0, upper=0.9)
        part["competing_probability"] = [0.0, 0.0, float(n > 1) / n, float(n > 1) / n]
        part.insert(0, "group", group)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def make_rates(kind="four"):
    """As `exposure.estimate_rates`: events in all groups but the first, which has no time at risk."""
    sizes = list_sizes(kind)
    rows = []
    for level, organ_class, term in (
        ("overall", "", "Any adverse event"),
        ("term", "General disorders", "Pyrexia"),
        ("term", "Not coded", HOSTILE),
    ):
        for i, (group, n) in enumerate(sizes.itertuples(index=False)):
            row = {
                "level": level,
                "organ_class": organ_class,
                "term": term,
                "group": group,
                "n_evaluable": n,
                "n_at_risk": n - int(i == 1),
                "n_outside": int(i == 1),
                "n_undated": int(i == 1),
            }
            row |= {"n_patients": int(i > 0), "time_at_risk": 4.25 * i, "n_infusions": 3 * i}
            rates = (0.2353, 0.00596, 1.311) if i else (np.nan,) * 3
            row |= dict(zip(("rate", "ci_lower", "ci_upper"), rates, strict=True))
            row |= dict(zip(("rate_per_infusion", "infusion_lower", "infusion_upper"), rates, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def make_by_infusion(kind="four"):
    """As `count_by_infusion`: the first group has no second infusion."""
    sizes = list_sizes(kind)
    parts = []
    for infusion in (1, 2):
        received = sizes["n"].where((infusion == 1) | (sizes.index > 0), 0)
        part = pd.DataFrame({"infusion": infusion, "group": sizes["group"], "n_received": received})
        part = part.assign(
            n_patients=(received > 0).astype("Int64"), n_events=2 * (received > 0).astype("Int64")
        )
        parts.append(
            part.assign(percent=100 * part["n_patients"].astype(float) / received.where(received > 0))
        )
    return pd.concat(parts, ignore_index=True)[
        ["infusion", "group", "n_patients", "n_received", "n_events", "percent"]
    ]


def make_dose_limiting(kind="four"):
    """As `count_dose_limiting`: one patient of the last group; in the first none evaluable."""
    sizes = list_sizes(kind).rename(columns={"n": "n_treated"})
    frame = sizes.assign(n_evaluable=sizes["n_treated"].where(sizes.index > 0, 0), n_patients=0, n_events=0)
    frame.loc[frame.index[-2:], ["n_patients", "n_events"]] = [1, 2]
    known = frame["n_evaluable"] > 0
    frame["percent"] = 100 * frame["n_patients"] / frame["n_evaluable"].where(known)
    return frame.assign(
        ci_lower=frame["percent"] / 2,
        ci_upper=(frame["percent"] + 50).clip(upper=100),
        one_sided_upper=(frame["percent"] + 45).clip(upper=100),
    )


def make_definition(*excluded):
    return SimpleNamespace(
        grade=3, related_only=True, window_days=28, excluded_terms=excluded, fewest_infusions=2
    )


def make_dose_relation():
    """As `compare_groups`: exact, by draws, and one that cannot be tested."""
    return pd.DataFrame(
        {
            "level": ["overall", "overall", "term", "term"],
            "organ_class": ["", "", "General disorders", "Not coded"],
            "term": ["Any adverse event", "Any adverse event", "Pyrexia", HOSTILE],
            "grade": ["any", "3+", "any", "any"],
            "n_patients": [18, 2, 12, 1],
            "p_trend": [1.0, 0.1234, 0.0412, np.nan],
            "trend_smallest": [1.0, 0.0196, 0.0001, np.nan],
            "p_groups": [1.0, 0.2345, 0.0731, np.nan],
            "groups_smallest": [1.0, 0.0588, 0.00001, np.nan],
            "is_exact": [True, True, False, True],
            "p_trend_error": [0.0, 0.0, 0.0021, np.nan],
            "p_groups_error": [0.0, 0.0, 0.0029, np.nan],
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
