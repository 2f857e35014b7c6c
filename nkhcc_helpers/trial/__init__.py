"""The trial as it arrived: its tables, what is wrong with them, and who is in which group."""

from nkhcc_helpers.trial.claims import CohortAssumptions, Median
from nkhcc_helpers.trial.problems import TrialDataError, TrialDataWarning
from nkhcc_helpers.trial.selection import (
    change_doses,
    describe_treatment,
    group_by_treatment,
    select_patients,
)
from nkhcc_helpers.trial.trial import Trial, load_trial

__all__ = [
    "CohortAssumptions",
    "Median",
    "Trial",
    "TrialDataError",
    "TrialDataWarning",
    "change_doses",
    "describe_treatment",
    "group_by_treatment",
    "load_trial",
    "select_patients",
]
