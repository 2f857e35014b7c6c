"""A trial as far as its published claims tell: who was in it, what was printed of it, what is assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special

from nkhcc_helpers.compatible.space import find_step
from nkhcc_helpers.survival.logrank import solve_quadratic
from nkhcc_helpers.trial.claims import TIME_CLAIMS, CohortAssumptions
from nkhcc_helpers.trial.metadata import convert

LONGEST_OVER_MEDIAN = 10.0  # of times, where nothing says how long anybody was followed


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial known from its published claims only.

    Attributes
    ----------
    sizes : dict of str to int
        Patients in each group, in the order of the groups.
    endpoints : tuple of str
        Codes of the endpoints that some claim is about.
    claims : tuple
        Claims about times: those of `TIME_CLAIMS`.
    assumptions : CohortAssumptions
        What the claims do not say.
    unit : str
        Unit of the times of claims and assumptions.
    ordered : tuple of (str, str) or None
        Codes of progression-free and overall survival, where both are among the endpoints and the first is
        taken never to be longer than the second.
    """

    sizes: dict
    endpoints: tuple
    claims: tuple
    assumptions: CohortAssumptions
    unit: str = "months"
    ordered: tuple | None = None

    @classmethod
    def of(cls, published, metadata):
        """Take the claims about times from what a paper reported.

        Parameters
        ----------
        published : Published
        metadata : TrialMetadata

        Returns
        -------
        ClaimedTrial
            Assumptions not in `published` are `assume`'s.

        Raises
        ------
        ValueError
            No claim is about times, or a group has no claimed size.
        """
        claimed = {each.group: each.value for each in published.claims if each.kind == "group_size"}
        groups = [arm.code for arm in sorted(metadata.arms, key=lambda arm: arm.order)]
        unsized = [group for group in groups if group not in claimed]
        if unsized:
            raise ValueError(f"the claims have no size of group {', '.join(unsized)}; add group_size")
        groups = [group for group in groups if claimed[group]]
        claims = tuple(each for each in published.claims if each.kind in TIME_CLAIMS)
        if len(groups) < 2 and any(each.kind == "logrank_p" for each in claims):
            raise ValueError("the claims have a log-rank P, but patients in fewer than two groups")
        known = _list_endpoints(claims, metadata)
        if not known:
            raise ValueError("the claims say nothing about the times of an endpoint")
        roles = {each.role: each.code for each in metadata.endpoints if each.code in known}
        assumptions = published.assumptions or assume(claims, metadata.display_time_unit)
        pair = (roles.get("progression_free_survival"), roles.get("overall_survival"))
        ordered = pair if None not in pair and assumptions.pfs_before_os else None
        sizes = {group: claimed[group] for group in groups}
        return cls(sizes, tuple(known), claims, assumptions, metadata.display_time_unit, ordered)

    @property
    def groups(self):
        """Codes of the groups."""
        return tuple(self.sizes)

    @property
    def codes(self):
        """Group of each patient, counted from 0, shape (n_patients,)."""
        return np.repeat(np.arange(len(self.sizes)), list(self.sizes.values()))

    @property
    def follow_up_endpoint(self):
        """The endpoint that the longest follow-up is a time of: overall survival, else the last one."""
        return self.ordered[1] if self.ordered else self.endpoints[-1]

    def claims_about(self, endpoint):
        """The claims about the times of one endpoint."""
        return [claim for claim in self.claims if self._endpoint_of(claim) == endpoint]

    def _endpoint_of(self, claim):
        return self.follow_up_endpoint if claim.kind == "longest_follow_up" else claim.endpoint

    def keep(self, claims):
        """The same trial with other claims; its endpoints stay."""
        return replace(self, claims=tuple(claims))

    def only(self, endpoint):
        """The same trial with one endpoint and the claims about it; nothing is before or after it."""
        claims = tuple(self.claims_about(endpoint))
        return replace(self, endpoints=(endpoint,), claims=claims, ordered=None)

    def assume(self, **changes):
        """The same trial with other assumptions, by their names in `CohortAssumptions`."""
        assumptions = CohortAssumptions(**{**self.assumptions.model_dump(), **changes})
        return replace(self, assumptions=assumptions)


def assume(claims, unit):
    """Assumptions for claims that come without any.

    Parameters
    ----------
    claims : sequence of claims
    unit : str
        Unit of their times.

    Returns
    -------
    CohortAssumptions
        Times in days, log-uniform up to the longest follow-up that prints as claimed, or ten times the
        largest median where none is claimed; nobody is censored.
    """
    longest = LONGEST_OVER_MEDIAN * max(
        (each.value for each in claims if each.kind == "median"), default=10.0
    )
    for each in claims:
        if each.kind == "longest_follow_up":
            longest = each.limits[1] * convert(each.unit, unit)
    return CohortAssumptions(shortest=convert("days", unit), longest=longest)


def _list_endpoints(claims, metadata):
    claimed = {each.endpoint for each in claims if each.kind != "longest_follow_up"}
    if claimed and any(each.kind == "longest_follow_up" for each in claims):
        claimed |= {each.code for each in metadata.endpoints if each.role == "overall_survival"}
    return [each.code for each in metadata.endpoints if each.code in claimed]


ROUNDING = 1e-9  # of a number computed, against the limits of a printed one
SMALLEST = 1e-300  # P-value
UNREACHED = 1000.0  # distance of a number that does not exist
WIDEST = 1.0  # half width that counts, of intervals that are wider: a claim that P is 0.00 has no lower limit


class Distance:
    """What the distances from all kinds of claim share: an interval, of logarithms or of shares."""

    @cached_property
    def half_width(self):
        """Half the width of the interval, but no more than counts."""
        low, high = self.interval
        return float(np.clip((high - low) / 2, ROUNDING, WIDEST))

    def stray(self, value):
        """How many half widths values are outside of the interval; `UNREACHED` where there is no value."""
        low, high = self.interval
        outside = np.maximum(low - value, value - high)
        far = outside / self.half_width
        return np.where(np.isnan(value), UNREACHED, np.where(outside <= ROUNDING, 0.0, far))


@dataclass(frozen=True)
class MedianDistance(Distance):
    """Distance of a median, in steps, on the scale of its logarithm.

    Attributes
    ----------
    group : int or None
        None for everyone. The cohorts measured are of that group only.
    limits : ndarray, shape (2,)
    conventions : tuple of str
    """

    group: int | None
    limits: np.ndarray
    conventions: tuple

    is_costly = False
    felt = 4.0

    @cached_property
    def interval(self):
        return np.log(self.limits)

    def measure(self, ordered):
        """Distance of each cohort, shape (n_cohorts,); the least over the conventions."""
        medians = (ordered.curves.find_medians(each) for each in self.conventions)
        return np.minimum.reduce([self.stray(np.log(np.maximum(each, 0.5))) for each in medians])


@dataclass(frozen=True)
class LogrankDistance(Distance):
    """Distance of a log-rank P, on the scale of its logarithm."""

    limits: tuple

    group = None
    is_costly = True
    felt = 1.6

    @cached_property
    def interval(self):
        return np.log(np.maximum(self.limits, SMALLEST))

    def measure(self, ordered):
        """Distance of each cohort, shape (n_cohorts,)."""
        difference, variance = ordered.sum_logrank()
        statistic = solve_quadratic(difference, variance)
        p_value = np.maximum(special.chdtrc(count_degrees(variance), statistic), SMALLEST)
        return self.stray(np.log(p_value))


@dataclass(frozen=True)
class LandmarkDistance(Distance):
    """Distance of the share without the event at a time from its limits; `group` as for medians."""

    group: int | None
    at: float
    limits: tuple

    is_costly = False
    felt = 8.0

    @property
    def interval(self):
        return self.limits

    def measure(self, ordered):
        """Distance of each cohort, shape (n_cohorts,)."""
        return self.stray(ordered.curves.find_survival(self.at))


@dataclass(frozen=True)
class HazardRatioDistance(Distance):
    """Distance of a hazard ratio from its limits, on the scale of its score test, without fitting.

    The score of a partial likelihood falls with the coefficient, so that the estimate lies between two limits
    if and only if the score is not below 0 at the lower and not above 0 at the upper one. Ties by Efron's
    method.
    """

    treated: int
    reference: int | None
    limits: tuple

    group = None
    is_costly = True
    felt = 1.6

    @cached_property
    def interval(self):
        return np.log(self.limits)

    def measure(self, ordered):
        """Distance of each cohort, shape (n_cohorts,)."""
        low, high = (self._score(ordered, coef) for coef in self.interval)
        outside = np.maximum(np.maximum(-low, high), 0.0)
        width = np.maximum((low - high) / 2, ROUNDING)
        return np.where(outside <= ROUNDING, 0.0, np.minimum(outside / width, UNREACHED))

    def _score(self, ordered, coef):
        """Score of one coefficient over the root of its information."""
        treated = ordered.codes == self.treated
        counted = treated | (ordered.codes == self.reference) if self.reference is not None else True
        weight = np.where(treated, np.exp(coef), 1.0) * counted
        died = ordered.events & counted
        parts = [weight, weight * treated, weight * died, weight * treated * died]
        at_risk, at_risk_treated = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in parts[:2])
        first = ordered.first_of_time
        at_risk, at_risk_treated = (
            np.take_along_axis(each, first, axis=1) for each in (at_risk, at_risk_treated)
        )
        tied, tied_treated, n_tied = (ordered.sum_within_time(each) for each in (*parts[2:], died))
        earlier = ordered.count_earlier(died)
        share = np.where(died, earlier / np.maximum(n_tied, 1), 0.0)
        total = np.maximum(at_risk - share * tied, 1e-300)
        mean = (at_risk_treated - share * tied_treated) / total
        score = (died * (treated - mean)).sum(axis=1)
        information = (died * mean * (1 - mean)).sum(axis=1)
        known = information > 1e-12
        standardized = score / np.sqrt(np.where(known, information, 1.0))
        return np.where(known, standardized, np.copysign(UNREACHED, coef))


@dataclass(frozen=True)
class FollowUpDistance(Distance):
    """Distance of the longest time, in steps, on the scale of its logarithm."""

    limits: tuple

    group = None
    is_costly = False
    felt = 4.0

    @cached_property
    def interval(self):
        return np.log(np.maximum(self.limits, 0.25))

    def measure(self, ordered):
        """Distance of each cohort, shape (n_cohorts,)."""
        return self.stray(np.log(np.maximum(ordered.steps[:, -1], 0.5)))


def lay_out_claims(claimed, endpoint):
    """Turn the claims about one endpoint into distances.

    Parameters
    ----------
    claimed : ClaimedTrial
    endpoint : str

    Returns
    -------
    list
        One object for each claim of `ClaimedTrial.claims_about`, with a method ``measure`` and an attribute
        ``group``: where that is not None, it measures cohorts of that group alone.
    """
    return [_lay_out(claim, claimed, find_step(claimed)) for claim in claimed.claims_about(endpoint)]


def count_degrees(variance):
    """Rank of each log-rank covariance, at least 1, shape (n,)."""
    if variance.shape[1] == 1:
        return np.ones(len(variance))
    full = np.full(len(variance), float(variance.shape[1]))
    scale = np.maximum(np.einsum("nkk->nk", variance).max(axis=1), 1e-300)
    thin = np.flatnonzero(np.abs(np.linalg.det(variance)) <= 1e-10 * scale ** variance.shape[1])
    if len(thin):
        values = np.linalg.eigvalsh(variance[thin])
        full[thin] = np.maximum((values > 1e-10 * np.maximum(values[:, -1:], 1e-300)).sum(axis=1), 1)
    return full


def _lay_out(claim, claimed, step):
    half = 0.5 * 10.0**-claim.decimals
    limits = np.array([claim.value - half, claim.value + half])
    groups = list(claimed.groups)
    group = groups.index(claim.group) if getattr(claim, "group", None) else None
    if claim.kind == "median":
        convention = claimed.assumptions.median_convention
        conventions = ("midpoint", "first") if convention == "either" else (convention,)
        return MedianDistance(group, np.maximum(limits / step, 0.25), conventions)
    if claim.kind == "logrank_p":
        return LogrankDistance(np.clip(limits, 0.0, 1.0))
    if claim.kind == "landmark_rate":
        return LandmarkDistance(group, claim.at / step, limits / 100)
    if claim.kind == "hazard_ratio":
        reference = None if claim.reference is None else groups.index(claim.reference)
        return HazardRatioDistance(group, reference, np.maximum(limits, 1e-6))
    return FollowUpDistance(limits * convert(claim.unit, claimed.unit) / step)


def list_claims(claimed):
    """Claims as numbers, with the interval that each printed one stands for.

    Parameters
    ----------
    claimed : ClaimedTrial

    Returns
    -------
    DataFrame
        Columns ``kind endpoint group value lowest highest``; sizes of groups first.
    """
    rows = [("group_size", None, group, size, size, size) for group, size in claimed.sizes.items()]
    for claim in claimed.claims:
        of = [getattr(claim, name, None) for name in ("endpoint", "group")]
        rows.append((claim.kind, *of, claim.value, *claim.limits))
    return pd.DataFrame(rows, columns=["kind", "endpoint", "group", "value", "lowest", "highest"])


def list_assumptions(claimed):
    """Assumptions by name.

    Parameters
    ----------
    claimed : ClaimedTrial

    Returns
    -------
    DataFrame
        Columns ``assumption endpoint value``, the endpoint for what is assumed of one only.
    """
    given = claimed.assumptions.model_dump()
    censored = given.pop("censored")
    rows = [(name, None, str(value)) for name, value in given.items()]
    for each in censored:
        endpoint = each.pop("endpoint")
        rows += [(f"censored {name}", endpoint, str(value)) for name, value in each.items()]
    return pd.DataFrame(rows, columns=["assumption", "endpoint", "value"])
