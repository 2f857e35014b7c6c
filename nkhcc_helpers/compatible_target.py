"""What Markov chains draw cohorts of one endpoint from: the prior, given the claims about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkhcc_helpers.claim_distances import MedianDistance, lay_out_claims
from nkhcc_helpers.cohort_groups import GroupDraws
from nkhcc_helpers.cohort_order import OrderedCohorts
from nkhcc_helpers.cohort_proposals import Proposals
from nkhcc_helpers.cohort_space import CohortSpace

ENOUGH_CHAINS = 20  # tries, for each chain wanted, to draw groups that make a possible cohort
NEAR = 0.3  # half widths, of a claim's interval, within which a miss hardly counts


@dataclass(frozen=True)
class Target:
    """Cohorts of one endpoint, and the claims about it.

    Claims about one group alone are kept to at all times, wherever groups drawn at random are found to meet
    them; chains are pulled towards the others.

    Attributes
    ----------
    proposals : Proposals
        With the space of cohorts.
    groups : tuple of GroupDraws
    pulled : tuple
        Distances, as of `claim_distances.lay_out_claims`, of the claims not kept to at all times; those that
        take long to measure last.
    log_tilt : ndarray of float, shape (n_groups, n_steps + 1)
        Logarithm of what the prior of each step was multiplied by.
    """

    proposals: Proposals
    groups: tuple
    pulled: tuple
    log_tilt: np.ndarray

    @classmethod
    def of(cls, claimed, endpoint, tilt=None):
        """Lay out the target of one endpoint of a `ClaimedTrial`; `tilt` as for `CohortSpace.of`."""
        space, distances = CohortSpace.of(claimed, endpoint, tilt), lay_out_claims(claimed, endpoint)
        medians = [each for each in distances if isinstance(each, MedianDistance)]
        proposals = Proposals.of(space, [each.limits for each in medians])
        rng, groups, pulled = np.random.default_rng(0), [], [each for each in distances if each.group is None]
        for group in range(len(claimed.groups)):
            own = tuple(each for each in distances if each.group == group)
            windows = tuple(tuple(each.limits) for each in medians if each.group == group)
            draws = GroupDraws(space, np.flatnonzero(claimed.codes == group), own, windows)
            if not draws.is_found(rng):
                pulled += own
                draws = GroupDraws(space, draws.members, (), windows)
            groups.append(draws)
        pulled = tuple(sorted(pulled, key=lambda each: each.is_costly))
        log_tilt = np.zeros(space.log_mass.shape) if tilt is None else np.log(tilt)
        return cls(proposals, tuple(groups), pulled, log_tilt)

    @property
    def space(self):
        """The `CohortSpace`."""
        return self.proposals.space

    def measure(self, steps, events, limit=np.inf):
        """Measure how far cohorts are from the claims that they are pulled to.

        Parameters
        ----------
        steps, events : ndarray, shape (n_cohorts, n_patients)
        limit : float or ndarray of float, shape (n_cohorts,)
            What is farther than that need not be measured to the end.

        Returns
        -------
        ndarray of float, shape (n_cohorts,)
            Sum over the claims of log(1 + distance / `NEAR`), which is steep near the claim, and of ``felt *
            half_width * distance``, which is steep far from it. inf where it is above the limit.
        """
        codes, far = self.space.codes, np.zeros(len(steps))
        limit, kept = np.broadcast_to(limit, far.shape), np.arange(len(far))
        ordered = OrderedCohorts.of(steps, events, codes)
        for each in self.pulled:
            part, members = ordered, codes == each.group
            if each.group is not None:
                part = OrderedCohorts.of(steps[kept][:, members], events[kept][:, members])
            distance = each.measure(part)
            far[kept] += np.log1p(distance / NEAR) + each.felt * each.half_width * distance
            near = far[kept] <= limit[kept]
            far[kept[~near]] = np.inf
            kept, ordered = kept[near], ordered.take(near)
        return np.where(far <= limit, far, np.inf)

    def draw_start(self, start, n_chains, rng):
        """Draw cohorts to start from, which keep to the assumptions and the claims of groups held.

        Parameters
        ----------
        start : {"prior", "medians"}
            Groups drawn given the claims about them; or every time at the claimed median of its group, or of
            everyone, wherever that meets the claims.
        n_chains : int
        rng : numpy.random.Generator

        Returns
        -------
        steps, events : ndarray, shape (n_chains, n_patients)

        Raises
        ------
        ValueError
            No cohort keeps to the assumptions on who is censored when.
        """
        steps = np.zeros((0, len(self.space.codes)), dtype=int)
        events = steps.astype(bool)
        for _ in range(ENOUGH_CHAINS):
            drawn = [self._draw_group(draws, start, n_chains, rng) for draws in self.groups]
            new_steps, new_events = (np.concatenate(parts, axis=1) for parts in zip(*drawn, strict=True))
            possible = np.isfinite(self.space.log_chance_of_censored((~new_events).sum(axis=1)))
            steps = np.concatenate([steps, new_steps[possible]])
            events = np.concatenate([events, new_events[possible]])
            if len(steps) >= n_chains:
                break
        if not len(steps):
            raise ValueError("no cohort keeps to the assumptions on who is censored when")
        chosen = np.resize(np.arange(len(steps)), n_chains)
        return steps[chosen], events[chosen]

    def _draw_group(self, draws, start, size, rng):
        """One group of so many cohorts, from a sample in which those rarely drawn count more."""
        found = [draws.draw(4 * size, rng)]
        while not sum(len(each[0]) for each in found):
            found.append(draws.draw(4 * size, rng))
        steps, events = (np.concatenate(parts) for parts in zip(*found, strict=True))
        log_weight = draws.weigh_freely(steps, events) - draws.weigh(steps, events)
        weight = np.exp(log_weight - log_weight.max())
        chosen = rng.choice(len(steps), size=size, p=weight / weight.sum())
        steps, events = steps[chosen], events[chosen]
        medians = [each for each in self.pulled if isinstance(each, MedianDistance) and each.group is None]
        windows = [*draws.windows, *(each.limits for each in medians)]
        if start == "medians" and windows:
            moved = np.full_like(steps, round(np.mean(windows[0])))
            can = np.isfinite(self.space.log_chance(moved, events, draws.code)).all(axis=1)
            can &= draws.meets(moved, events)
            steps = np.where(can[:, None], moved, steps)
        return steps, events
