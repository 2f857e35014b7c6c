"""A trial as far as its published claims tell: who was in it, what was printed of it, what is assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nkhcc_helpers.claims import CohortAssumptions
from nkhcc_helpers.metadata import DAYS_PER_UNIT

TIME_CLAIMS = ("median", "logrank_p", "hazard_ratio", "landmark_rate", "longest_follow_up")
"""Kinds of claim that say something about the times of the patients."""

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


def convert(one, other):
    """How many of unit `other` one of unit `one` is."""
    return DAYS_PER_UNIT[one] / DAYS_PER_UNIT[other]


def describe_claim(claim):
    """Describe a claim in words, as messages and tables name it.

    Parameters
    ----------
    claim : claim of `published.yaml`

    Returns
    -------
    str
    """
    of = f", group {claim.group}" if getattr(claim, "group", None) else ""
    printed = f"{claim.value:.{claim.decimals}f}"
    if claim.kind == "median":
        return f"median {claim.endpoint}{of}: {printed}"
    if claim.kind == "logrank_p":
        return f"log-rank P, {claim.endpoint}: {printed}"
    if claim.kind == "landmark_rate":
        return f"{claim.endpoint} at {claim.at:g}{of}: {printed} %"
    if claim.kind == "hazard_ratio":
        against = claim.reference or "all others"
        return f"hazard ratio, {claim.endpoint}, {claim.group} to {against}: {printed}"
    return f"longest follow-up: {printed} {claim.unit}"


def _list_endpoints(claims, metadata):
    claimed = {each.endpoint for each in claims if each.kind != "longest_follow_up"}
    if claimed and any(each.kind == "longest_follow_up" for each in claims):
        claimed |= {each.code for each in metadata.endpoints if each.role == "overall_survival"}
    return [each.code for each in metadata.endpoints if each.code in claimed]
