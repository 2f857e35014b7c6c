"""Draws one trial that gives every number of a `published.yaml` at its printed rounding.

What the paper does not say (doses, schedule, censoring, baseline, adverse events) is assumed here and listed
in `trial.yaml`.
"""

from __future__ import annotations

import datetime as dt
import filecmp
import shutil
import tempfile
from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd
from scipy import stats

from nkhcc_helpers.survival.logrank import OrderedCohorts, solve_quadratic
from nkhcc_helpers.trial.claims import read_published
from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT, read_metadata
from nkhcc_helpers.trial.trial import locate_bundled

DEFAULT_SEED = 20260124
N_COHORTS_A_DRAW = 20_000
MAX_DRAWS = 500  # of N_COHORTS_A_DRAW each
SURVIVOR_FOLLOW_UP = (3270, 3305)  # days: 9 years, to a tenth of a year
LOSS_TO_FOLLOW_UP = (1000, 2100)  # days: after every median, so that medians stay order statistics
SHORTEST_PFS = 21  # days: before a first response assessment progression is not seen
SHORTEST_FROM_PFS_TO_OS = 14  # days
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


def write_reconstruction(out_dir, *, seed=DEFAULT_SEED, source=""):
    """Write four tables that meet the YAML files of `source`, or of the bundled trial; return their paths.

    The same seed writes the same bytes; ValueError where no cohort is found.
    """
    folder = Path(source) if source else locate_bundled()
    metadata = read_metadata(folder / "trial.yaml")
    published = read_published(folder / "published.yaml", metadata)
    tables = draw_trial(metadata, published, seed=seed)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in tables.items():
        paths.append(out_dir / f"{name}.csv")
        paths[-1].write_text(table.to_csv(index=False, lineterminator="\n"), encoding="utf-8", newline="\n")
    return paths


def draw_trial(metadata, published, *, seed=DEFAULT_SEED, max_draws=MAX_DRAWS):
    """Return tables `adsl adtte adex adae` as ADaM, times in months, that give every published number.

    Group sizes, enrolment dates, medians and log-rank P-values are searched for, in at most `max_draws`
    batches of cohorts for each endpoint (ValueError where none is found); the longest follow-up and the
    claims of safety are met by construction.
    """
    rng = np.random.default_rng(seed)
    claims = _collect_claims(metadata, published)
    cohort = _draw_enrolment(rng, claims, metadata.data_cut_off)
    cohort = _draw_times(rng, claims, cohort, max_draws)
    infusions = draw_infusions(rng, metadata, cohort)
    return {
        "adsl": make_adsl(rng, metadata, cohort, infusions),
        "adtte": make_adtte(metadata, cohort),
        "adex": make_adex(metadata, cohort, infusions),
        "adae": make_adae(rng, metadata, cohort, infusions),
    }


def _collect_claims(metadata, published):
    """The claims by what they are about; medians as (lowest, highest) whole days that print as claimed."""
    codes = [arm.code for arm in metadata.arms]
    claims = {"sizes": {}, "medians": {}, "logrank": {}}
    for claim in published.claims:
        if claim.kind == "group_size":
            claims["sizes"][codes.index(claim.group)] = claim.value
        elif claim.kind == "median":
            group = None if claim.group is None else codes.index(claim.group)
            claims["medians"][claim.endpoint, group] = _days_printing_as(claim)
        elif claim.kind == "logrank_p":
            claims["logrank"][claim.endpoint] = (claim.value, claim.decimals)
        elif claim.kind in ("first_enrolment", "last_enrolment"):
            claims[claim.kind] = claim.value
    claims["group"] = np.repeat(np.arange(len(codes)), [claims["sizes"][g] for g in range(len(codes))])
    return claims


def _days_printing_as(claim):
    lowest, highest = (limit * DAYS_PER_UNIT["months"] for limit in claim.limits)
    return int(np.ceil(lowest)), int(np.floor(highest))


def _draw_enrolment(rng, claims, cut_off):
    """Enrolment days group after group, the survivor first in the last group."""
    group = claims["group"]
    first, last = claims["first_enrolment"], claims["last_enrolment"]
    follow_up = int(rng.integers(*SURVIVOR_FOLLOW_UP))
    survivor_enrolled = (cut_off - dt.timedelta(days=follow_up) - first).days
    span = (last - first).days
    opened = np.round(np.searchsorted(group, np.arange(group[-1] + 1)) / len(group) * span).astype(int)
    opened = np.append(opened, span + 1)
    opened[-2] = survivor_enrolled
    enrolled = np.concatenate(
        [np.sort(rng.integers(opened[g], opened[g + 1], (group == g).sum())) for g in range(group[-1] + 1)]
    )
    survivor = int(np.searchsorted(group, group[-1]))
    enrolled[0], enrolled[survivor], enrolled[-1] = 0, survivor_enrolled, span
    return pd.DataFrame(
        {
            "group": group,
            "enrolled": [first + dt.timedelta(days=int(day)) for day in enrolled],
            "survivor": np.arange(len(group)) == survivor,
            "follow_up": [(cut_off - first).days - int(day) for day in enrolled],
        }
    )


def _draw_times(rng, claims, cohort, max_draws):
    """PFS and OS in days, matched within groups so that OS follows PFS."""
    survivor = cohort["survivor"].to_numpy()
    group = cohort["group"].to_numpy()
    lost = int(np.flatnonzero(group == group[-1] - 1)[-1])
    fixed = int(cohort.loc[survivor, "follow_up"].iloc[0])
    search = partial(_search_times, rng, claims, survivor=survivor, follow_up=fixed, max_draws=max_draws)
    pfs = search("PFS", lost=np.array([], dtype=int))
    os = search("OS", lost=np.array([lost]))
    pfs = _match_times(rng, group, survivor, pfs, os)
    return cohort.assign(
        pfs=pfs,
        os=os,
        progressed=~survivor,
        died=~survivor & (np.arange(len(group)) != lost),
    )


def _search_times(rng, claims, endpoint, *, survivor, lost, follow_up, max_draws):
    """Draw cohorts until one gives the medians and the log-rank P of this endpoint."""
    group = claims["group"]
    events = np.ones(len(group), dtype=bool)
    events[survivor] = False
    events[lost] = False
    value, decimals = claims["logrank"][endpoint]
    for _ in range(max_draws):
        times = _propose_times(rng, claims, endpoint, survivor, follow_up)
        times[:, lost] = rng.integers(*LOSS_TO_FOLLOW_UP, (len(times), len(lost)))
        times = times[_meet_medians(times, claims, endpoint)]
        if not len(times):
            continue
        repeated = np.broadcast_to(events, times.shape)
        statistic = solve_quadratic(*OrderedCohorts.of(times, repeated, group).sum_logrank())
        p_value = stats.chi2.sf(statistic, group[-1])
        hits = np.flatnonzero(np.abs(p_value - value) < 0.49 * 10.0**-decimals)
        if len(hits):
            return times[hits[0]]
    raise ValueError(f"no cohort found that gives the published {endpoint} medians and log-rank P")


def _propose_times(rng, claims, endpoint, survivor, follow_up):
    """Cohorts with each group's middle times at its median and the others spread around it."""
    group = claims["group"]
    times = np.empty((N_COHORTS_A_DRAW, len(group)), dtype=int)
    for g in range(group[-1] + 1):
        low, high = claims["medians"][endpoint, g]
        members = np.flatnonzero(group == g)
        # The survivor stands first in the last group but has its longest time.
        members = np.concatenate([members[~survivor[members]], members[survivor[members]]])
        n = len(members)
        middle = np.arange((n - 1) // 2, n // 2 + 1)
        before, after = members[: middle[0]], members[middle[-1] + 1 :]
        times[:, members[middle]] = rng.integers(low, high + 1, (len(times), len(middle)))
        times[:, before] = np.floor(low * rng.uniform(0.4, 1.0, (len(times), len(before))))
        times[:, after] = np.ceil(high * (1 + rng.exponential(0.5, (len(times), len(after)))))
    _place_overall_median(rng, times, claims, endpoint)
    times[:, survivor] = follow_up
    return times


def _place_overall_median(rng, times, claims, endpoint):
    low, high = claims["medians"][endpoint, None]
    rows = np.arange(len(times))
    for _ in range(2):
        times[rows, rng.integers(0, times.shape[1], len(times))] = rng.integers(low, high + 1, len(times))


def _meet_medians(times, claims, endpoint):
    """Whether the two middle times (or the one) of each group and of everyone print as claimed."""
    meets = times.min(axis=1) >= SHORTEST_PFS
    for (of, g), (low, high) in claims["medians"].items():
        if of != endpoint:
            continue
        part = times if g is None else times[:, claims["group"] == g]
        n = part.shape[1]
        middle = np.sort(part, axis=1)[:, [(n - 1) // 2, n // 2]]
        meets &= ((middle >= low) & (middle <= high)).all(axis=1)
    return meets


def _match_times(rng, group, survivor, pfs, os):
    """Shuffle PFS within groups until each comes well before its patient's OS."""
    matched = pfs.copy()
    for g in range(group[-1] + 1):
        members = np.flatnonzero((group == g) & ~survivor)
        for _ in range(10_000):
            candidate = rng.permutation(pfs[members])
            if (os[members] - candidate >= SHORTEST_FROM_PFS_TO_OS).all():
                matched[members] = candidate
                break
        else:
            raise ValueError("no matching of PFS to OS found in which every PFS comes before its OS")
    return matched


def draw_infusions(rng, metadata, cohort):
    """Draw infusions by the arm's schedule, stopped at progression or death: `patient sequence day dose`.

    Days from enrolment. `cohort` has one row per patient: `group` (number), `enrolled` (date), `pfs os`
    (days), `progressed died survivor` (boolean).
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
                onset = row.day + int(onset < 0.25)
                yield row.patient, term, organ_class, grade, True, False, onset, duration


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


def replace_tables(drawn, out_dir, *, force):
    """Copy drawn tables into a folder, but not over others that differ unless forced."""
    out_dir = Path(out_dir)
    there = [path for path in drawn if (out_dir / path.name).exists()]
    differing = [path.name for path in there if not filecmp.cmp(path, out_dir / path.name, shallow=False)]
    if differing and not force:
        raise click.ClickException(
            f"{out_dir} holds other {', '.join(differing)}; give --force to replace them"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    for path in drawn:
        shutil.copyfile(path, out_dir / path.name)


@click.command()
@click.option(
    "--seed", type=int, default=DEFAULT_SEED, show_default=True, help="The same seed writes the same bytes."
)
@click.option("--out", "out_dir", required=True, metavar="DIR", help="Folder to write the four tables into.")
@click.option("--force", is_flag=True, help="Replace tables that are there and differ.")
def main(seed, out_dir, force):
    """Draw a trial that gives every published number of the bundled one, and write its four tables."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            drawn = write_reconstruction(folder, seed=seed)
            replace_tables(drawn, out_dir, force=force)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Wrote {', '.join(path.name for path in drawn)} to {out_dir}")


if __name__ == "__main__":
    main()
