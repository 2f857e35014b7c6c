"""Patients of one endpoint with their infusions, counted in several ways as covariates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from nkhcc_helpers.trial.metadata import DAYS_PER_UNIT
from nkhcc_helpers.trial.schema import find_column


class Count(StrEnum):
    """How infusions are counted."""

    RECEIVED = "received"
    PLANNED = "planned"
    SO_FAR = "so far"
    LANDMARK_RECEIVED = "landmark received"
    LANDMARK_PLANNED = "landmark planned"

    @property
    def is_late(self):
        """Whether only those still followed at the landmark are counted."""
        return self in (Count.LANDMARK_RECEIVED, Count.LANDMARK_PLANNED)


@dataclass(frozen=True)
class Cohorts:
    """Cohorts of the same patients, and when each was infused, in days."""

    days: np.ndarray  # to event or censoring, (n_cohorts, n_subjects)
    events: np.ndarray
    planned: np.ndarray  # infusions, (n_subjects,)
    given: np.ndarray  # when each infusion was, infinite for none, (n_cohorts, n_subjects, n_infusions)
    landmark: float  # NaN without one
    enter: np.ndarray | float = 0.0  # day after which each is at risk, 0 from the start, (n_subjects,)

    def list_designs(self, *, with_so_far=True):
        """Times, events and covariates of each fit, as `fit_cox_many` takes them."""
        at_risk = self.days - self.enter >= self.landmark
        given_by = np.reshape(self.enter, (-1, 1)) + self.landmark
        everyone = self.days, self.events
        late = np.where(at_risk, self.days, -1.0), self.events & at_risk
        planned = np.broadcast_to(self.planned, self.days.shape)
        so_far = np.zeros((*self.days.shape, 1))
        if with_so_far:
            so_far = np.stack([*map(_count_before, self.given, self.days)])
        covariates = {
            Count.RECEIVED: np.isfinite(self.given).sum(axis=-1),
            Count.PLANNED: planned,
            Count.SO_FAR: so_far,
            Count.LANDMARK_RECEIVED: (self.given < given_by).sum(axis=-1),
            Count.LANDMARK_PLANNED: planned,
        }
        return {
            count: (*(late if count.is_late else everyone), covariate[..., None].astype(float))
            for count, covariate in covariates.items()
        }


def _count_before(given, days):
    """How many infusions each patient had before each of the days, shape (n_days, n_subjects)."""
    return np.stack([np.searchsorted(each, days) for each in np.sort(given)], axis=-1)


def read_cohort(trial, endpoint, landmark=np.nan):
    """The patients with their ``days watched clock``, and as one cohort; all in whole days."""
    followed = trial.survival(endpoint)
    followed["days"] = np.rint(followed["time"] * DAYS_PER_UNIT[trial.unit])
    enter = np.rint(followed["time_enter"] * DAYS_PER_UNIT[trial.unit]).to_numpy()
    rows = trial.times[trial.times["endpoint"] == endpoint].set_index("USUBJID")
    rows = rows.reindex(followed["USUBJID"]).reset_index()
    subjects = trial.subjects.set_index("USUBJID").loc[followed["USUBJID"]]
    origins = pd.DataFrame(
        {
            "STARTDT": find_column(rows, "STARTDT") - pd.to_timedelta(enter, unit="D"),
            "enrolment": subjects["enrolled"].to_numpy(),
            "first infusion": subjects["first_infusion"].to_numpy(),
        }
    )
    known = origins.notna()
    followed["clock"] = known.idxmax(axis=1).where(known.any(axis=1), "")
    started = pd.Series(origins.bfill(axis=1).iloc[:, 0].to_numpy(), followed["USUBJID"])
    cohort = Cohorts(
        days=followed["days"].to_numpy()[None],
        events=followed["event"].to_numpy()[None],
        planned=followed["infusions"].to_numpy(float),
        given=_list_infusion_days(trial, started)[None] + _number_first_day(rows, followed["days"] - enter),
        landmark=landmark,
        enter=enter,
    )
    followed["watched"] = followed["days"] - enter
    return followed, cohort


def _list_infusion_days(trial, started):
    """Days from the start to each infusion, infinite past the last, shape (n_subjects, n_infusions)."""
    given = trial.infusions[["USUBJID", "infusion"]].copy()
    given["day"] = (trial.infusions["date"] - given["USUBJID"].map(started)).dt.days
    table = given.pivot_table(index="USUBJID", columns="infusion", values="day").reindex(started.index)
    return table.fillna(np.inf).to_numpy(float)


def _number_first_day(rows, days):
    """1 where times count the day of STARTDT as a day of its own, 0 where they do not."""
    more = (days - (find_column(rows, "ADT") - find_column(rows, "STARTDT")).dt.days).dropna()
    return int(not more.empty and abs(more.median() - 1) < 0.5)
