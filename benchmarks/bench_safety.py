"""Time every safety table on a large made-up trial: 200,000 adverse events of 5,000 patients.

Run it as `make bench` or `python benchmarks/bench_safety.py`. Exits 1 when a limit is not held.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from measuring import report, time_median

from nkhcc_helpers import safety
from nkhcc_helpers.trial.trial import load_trial

N_PATIENTS, N_EVENTS, N_TERMS, N_INFUSIONS = 5_000, 200_000, 300, 8
ARMS = "ABCD"


def write_trial(folder):
    """Four arms of equal size, infused every 14 days, followed for two years; events anywhere in them."""
    rng = np.random.default_rng(1)
    patients = np.array([f"P{number:05d}" for number in range(N_PATIENTS)])
    group = np.array(list(ARMS))[np.arange(N_PATIENTS) % len(ARMS)]
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, N_PATIENTS), unit="D")
    adsl = pd.DataFrame({"STUDYID": "LARGE", "USUBJID": patients, "TRT01P": group, "TRTSDT": start})
    adtte = pd.DataFrame(
        {
            "USUBJID": patients,
            "PARAMCD": "OS",
            "AVAL": 730,
            "CNSR": rng.integers(0, 2, N_PATIENTS),
            "STARTDT": start,
        }
    )
    given = pd.DataFrame({"USUBJID": np.repeat(patients, N_INFUSIONS), "EXDOSE": 1.0})
    given["ASTDT"] = np.repeat(start, N_INFUSIONS) + pd.to_timedelta(
        np.tile(14 * np.arange(N_INFUSIONS), N_PATIENTS), unit="D"
    )
    who, term = rng.integers(0, N_PATIENTS, N_EVENTS), rng.geometric(0.02, N_EVENTS) % N_TERMS
    onset = start[who] + pd.to_timedelta(rng.integers(0, 600, N_EVENTS), unit="D")
    adae = pd.DataFrame(
        {
            "USUBJID": patients[who],
            "AEDECOD": [f"Term {number:03d}" for number in term],
            "AEBODSYS": [f"Class {number % 20:02d}" for number in term],
            "AETOXGR": rng.choice([1, 2, 3, 4], N_EVENTS, p=[0.6, 0.25, 0.13, 0.02]),
            "AEREL": rng.choice(["RELATED", "NOT RELATED"], N_EVENTS),
            "AESER": rng.choice(["Y", "N"], N_EVENTS, p=[0.05, 0.95]),
            "ASTDT": onset,
            "AENDT": (onset + pd.to_timedelta(rng.integers(0, 30, N_EVENTS), unit="D")).where(
                rng.random(N_EVENTS) < 0.95
            ),
            "AEACN": "DOSE NOT CHANGED",
        }
    )
    tables = {"adsl": adsl, "adtte": adtte, "adex": given, "adae": adae}
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, date_format="%Y-%m-%d")
    arms = [
        {"code": code, "label": f"Group {code}", "order": order, "infusions": N_INFUSIONS, "dose": 1.0}
        for order, code in enumerate(ARMS)
    ]
    metadata = {
        "study_id": "LARGE",
        "title": "A large trial, made up",
        "provenance": "illustrative",
        "time_unit": "days",
        "arms": arms,
        "endpoints": [{"code": "OS", "label": "Overall survival", "role": "overall_survival"}],
    }
    (folder / "trial.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")


def main():
    with tempfile.TemporaryDirectory() as folder:
        write_trial(Path(folder))
        started = []
        loading = time_median(lambda: started.append(load_trial(folder)), 1)
    trial = started[0]
    overview, by_term = safety.count_adverse_events(trial), safety.count_by_term(trial)
    checked = {
        "listings": {"serious": safety.list_adverse_events(trial, which="serious")},
        "rates": safety.estimate_rates(trial),
        "onset": safety.summarize_onset(trial),
        "by_infusion": safety.count_by_infusion(trial),
        "dose_limiting": safety.count_dose_limiting(trial),
        "definition": safety.Definition(),
    }
    work = {
        "overview": lambda: safety.count_adverse_events(trial),
        "exact limits of the overview": lambda: safety.estimate_shares(overview),
        "risk differences": lambda: safety.estimate_differences(overview, "A"),
        "by class, term and worst grade": lambda: safety.count_by_term(trial),
        "rates per time and per infusion": lambda: safety.estimate_rates(trial),
        "first event": lambda: safety.estimate_first_event(trial),
        "onset and duration": lambda: safety.summarize_onset(trial),
        "by infusion": lambda: safety.count_by_infusion(trial),
        "dose-limiting toxicity": lambda: safety.count_dose_limiting(trial),
        "dose relation": lambda: safety.compare_groups(trial),
        "listing of all events": lambda: safety.list_adverse_events(trial, which="all"),
        "totals checked": lambda: safety.check_totals(trial, overview=overview, by_term=by_term, **checked),
    }
    rows = [("the trial read and checked", loading, None, "s")]
    rows += [(name, time_median(step), 10, "s") for name, step in work.items()]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return report([*rows, ("memory, imports and reading included", memory, 1536, "MB")])


if __name__ == "__main__":
    sys.exit(main())
