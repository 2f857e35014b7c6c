"""A trial as far as its published claims tell, and what each kind of claim asks of the times of cohorts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from nkhcc_helpers.compatible.space import find_step
from nkhcc_helpers.survival.logrank import solve_quadratic
from nkhcc_helpers.trial.claims import CohortAssumptions, LogrankP, LongestFollowUp, Median
from nkhcc_helpers.trial.metadata import convert

LONGEST_OVER_MEDIAN = 10.0  # of times, where nothing says how long anybody was followed
ROUNDING = 1e-9  # of a number computed, against the limits of a printed one
SMALLEST = 1e-300  # P-value
MISSING = 1000.0  # distance of a number that does not exist
WIDEST = 1.0  # half width that counts, of intervals that are wider: a claim that P is 0.00 has no lower limit


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial known from its published claims only.

    `ordered` are the codes of progression-free and overall survival, where both are among the endpoints and
    the first is taken never to be longer than the second.
    """

    sizes: dict  # patients in each group, in the order of the groups
    endpoints: tuple  # codes of those that some claim is about
    claims: tuple  # those about times: of `KINDS`
    assumptions: CohortAssumptions  # what the claims do not say
    unit: str = "months"  # of the times of claims and assumptions
    ordered: tuple | None = None

    @classmethod
    def of(cls, published, metadata):
        """Take the claims about times from `Published`, with `assume`'s assumptions where it has none.

        Those of endpoints in `list_left_out` are not taken. Raises ValueError where no claim is about times,
        or some group of `TrialMetadata` has no claimed size.
        """
        claimed = {each.group: each.value for each in published.claims if each.kind == "group_size"}
        groups = [arm.code for arm in sorted(metadata.arms, key=lambda arm: arm.order)]
        unsized = [group for group in groups if group not in claimed]
        if unsized:
            raise ValueError(f"the claims have no size of group {', '.join(unsized)}; add group_size")
        groups = [group for group in groups if claimed[group]]
        claims = tuple(each for each in published.claims if each.kind in KINDS)
        left_out = list_left_out(metadata)
        claims = tuple(each for each in claims if getattr(each, "endpoint", None) not in left_out)
        if len(groups) < 2 and any(isinstance(each, LogrankP) for each in claims):
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
        return [each for each in self.claims if self.endpoint_of(each) == endpoint]

    def endpoint_of(self, claim):
        """The endpoint whose times a claim is about."""
        return getattr(claim, "endpoint", self.follow_up_endpoint)

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


def list_left_out(metadata):
    """Endpoints that cohorts cannot be drawn for, and why.

    Parameters
    ----------
    metadata : TrialMetadata

    Returns
    -------
    dict of str to str
        Code to reason: a cohort holds every patient of the groups, observed from time zero on. The first of
        a trial that has no endpoint like that is kept all the same.
    """
    late = "its patients come under observation after time zero"
    reasons = {
        each.code: f"only some patients are in it ({each.population})" if each.population else late
        for each in metadata.endpoints
        if each.population or each.origin
    }
    if len(reasons) == len(metadata.endpoints):
        del reasons[metadata.endpoints[0].code]  # else nothing would be left
    return reasons


def assume(claims, unit):
    """`CohortAssumptions` for claims that come without any, their times in `unit`.

    Times in days, log-uniform up to the longest follow-up that prints as claimed, or ten times the largest
    median where none is claimed; nobody is censored.
    """
    medians = [each.value for each in claims if isinstance(each, Median)]
    longest = LONGEST_OVER_MEDIAN * max(medians, default=10.0)
    for each in claims:
        if isinstance(each, LongestFollowUp):
            longest = each.limits[1] * convert(each.unit, unit)
    return CohortAssumptions(shortest=convert("days", unit), longest=longest)


def _list_endpoints(claims, metadata):
    claimed = {getattr(each, "endpoint", None) for each in claims}
    if None in claimed and len(claimed) > 1:
        claimed |= {each.code for each in metadata.endpoints if each.role == "overall_survival"}
    return [each.code for each in metadata.endpoints if each.code in claimed]


class TimeClaim:
    """A claim about the times of a `ClaimedTrial`, one class for each kind.

    It knows its `kind` in published.yaml, its `words`, the `interval` that its printed number stands for, on
    the scale on which distances are measured, and how to `measure` the distance of each of `OrderedCohorts`
    from it, shape (n_cohorts,), in half widths of that: 0 where the claim is met.
    """

    group = None  # number of the only group whose patients are measured
    windows = ()  # limits of a claimed median, in steps
    is_costly = False
    slope = 4.0  # of the distance in the chains' tempered density, where it is large

    def __init__(self, claim, claimed):
        half = 0.5 * 10.0**-claim.decimals
        self.claimed, self.step = claimed, find_step(claimed)
        self.interval = self.find_interval(claim, np.array([claim.value - half, claim.value + half]))
        low, high = self.interval
        self.half_width = float(np.clip((high - low) / 2, ROUNDING, WIDEST))

    @classmethod
    def describe(cls, claim):
        """The claim in words, as messages and tables name it."""
        given = {"group": None, "reference": None, **claim.model_dump()}
        of = f", group {given['group']}" if given["group"] else ""
        number = f"{claim.value:.{claim.decimals}f}"
        return cls.words.format(of=of, against=given["reference"] or "all others", number=number, **given)

    def measure_outside(self, value):
        """How many half widths values are outside of the interval; `MISSING` where there is no value."""
        low, high = self.interval
        outside = np.maximum(low - value, value - high)
        distance = outside / self.half_width
        return np.where(np.isnan(value), MISSING, np.where(outside <= ROUNDING, 0.0, distance))

    def number_group(self, code):
        """Number of a group, None for everyone."""
        return None if code is None else self.claimed.groups.index(code)


class MedianClaim(TimeClaim):
    """A median, in steps, on the scale of its logarithm; the nearest of the readings allowed."""

    kind = "median"
    words = "median {endpoint}{of}: {number}"

    def find_interval(self, claim, limits):
        self.group = self.number_group(claim.group)
        self.windows = (tuple(np.maximum(limits / self.step, 0.25)),)
        convention = self.claimed.assumptions.median_convention
        readings = {"midpoint": ("printed",), "first": ("first",)}
        self.conventions = readings.get(convention, ("printed", "first"))
        return np.log(self.windows[0])

    def measure(self, ordered):
        medians = (ordered.curves.find_medians(each) for each in self.conventions)
        return np.minimum.reduce([self.measure_outside(np.log(np.maximum(each, 0.5))) for each in medians])


class LogrankClaim(TimeClaim):
    """A log-rank P, on the scale of its logarithm."""

    kind = "logrank_p"
    words = "log-rank P, {endpoint}: {number}"
    is_costly = True
    slope = 1.6

    def find_interval(self, claim, limits):
        return np.log(np.clip(limits, SMALLEST, 1.0))

    def measure(self, ordered):
        difference, variance = ordered.sum_logrank()
        statistic = solve_quadratic(difference, variance)
        p_value = np.maximum(special.chdtrc(count_degrees(variance), statistic), SMALLEST)
        return self.measure_outside(np.log(p_value))


class LandmarkClaim(TimeClaim):
    """The share without the event at a time."""

    kind = "landmark_rate"
    words = "{endpoint} at {at:g}{of}: {number} %"
    slope = 8.0

    def find_interval(self, claim, limits):
        self.group, self.at = self.number_group(claim.group), claim.at / self.step
        return limits / 100

    def measure(self, ordered):
        return self.measure_outside(ordered.curves.find_survival(self.at))


class HazardRatioClaim(TimeClaim):
    """A hazard ratio, on the scale of its score test, without fitting; ties by Efron's method.

    The score of a partial likelihood falls with the coefficient, so that the estimate lies between two limits
    if and only if the score is not below 0 at the lower and not above 0 at the upper one.
    """

    kind = "hazard_ratio"
    words = "hazard ratio, {endpoint}, {group} to {against}: {number}"
    is_costly = True
    slope = 1.6

    def find_interval(self, claim, limits):
        self.treated, self.reference = self.number_group(claim.group), self.number_group(claim.reference)
        return np.log(np.maximum(limits, 1e-6))

    def measure(self, ordered):
        low, high = (self._score(ordered, coef) for coef in self.interval)
        outside = np.maximum(np.maximum(-low, high), 0.0)
        width = np.maximum((low - high) / 2, ROUNDING)
        return np.where(outside <= ROUNDING, 0.0, np.minimum(outside / width, MISSING))

    def _score(self, ordered, coef):
        """Score of one coefficient over the root of its information."""
        treated = ordered.codes == self.treated
        counted = treated | (ordered.codes == self.reference) if self.reference is not None else True
        weight = np.where(treated, np.exp(coef), 1.0) * counted
        died = ordered.events & counted
        parts = [weight, weight * treated, weight * died, weight * treated * died]
        from_here = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in parts[:2])
        first = ordered.first_of_time
        at_risk, at_risk_treated = (np.take_along_axis(each, first, axis=1) for each in from_here)
        tied, tied_treated, n_tied = (ordered.sum_within_time(each) for each in (*parts[2:], died))
        earlier = ordered.count_earlier(died)
        share = np.where(died, earlier / np.maximum(n_tied, 1), 0.0)
        total = np.maximum(at_risk - share * tied, 1e-300)
        mean = (at_risk_treated - share * tied_treated) / total
        score = (died * (treated - mean)).sum(axis=1)
        information = (died * mean * (1 - mean)).sum(axis=1)
        known = information > 1e-12
        standardized = score / np.sqrt(np.where(known, information, 1.0))
        return np.where(known, standardized, np.copysign(MISSING, coef))


class FollowUpClaim(TimeClaim):
    """The longest time, in steps, on the scale of its logarithm."""

    kind = "longest_follow_up"
    words = "longest follow-up: {number} {unit}"

    def find_interval(self, claim, limits):
        in_steps = limits * convert(claim.unit, self.claimed.unit) / self.step
        return np.log(np.maximum(in_steps, 0.25))

    def measure(self, ordered):
        return self.measure_outside(np.log(np.maximum(ordered.steps[:, -1], 0.5)))


_KINDS = (MedianClaim, LogrankClaim, LandmarkClaim, HazardRatioClaim, FollowUpClaim)
KINDS = {each.kind: each for each in _KINDS}


def describe_claim(claim):
    """A claim about times in words, as messages and tables name it."""
    return KINDS[claim.kind].describe(claim)


def lay_out_claims(claimed, endpoint):
    """The claims about one endpoint, each a `TimeClaim`."""
    return [KINDS[claim.kind](claim, claimed) for claim in claimed.claims_about(endpoint)]


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
        of = (getattr(claim, name, None) for name in ("endpoint", "group"))
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
