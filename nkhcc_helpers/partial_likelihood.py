"""The Cox partial likelihood, plain and penalised by Firth's method, of many small cohorts at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TIES = ("breslow", "efron")
MAX_STEPS = 200
MAX_HALVINGS = 30
LARGEST_STEP = 5.0  # of a linear predictor, in one step
SMALLEST_GAIN = 1e-16  # of a log-likelihood, in one step
ROUNDING = 1e-11  # of a log-likelihood
NEGLIGIBLE = 1e-10  # information, relative to the squared covariates


@dataclass(frozen=True)
class Evaluation:
    """What the likelihood of each cohort is at its coefficients.

    Attributes
    ----------
    log_likelihood : ndarray, shape (n_cohorts,)
    score : ndarray, shape (n_cohorts, n_covariates)
        Its first derivative.
    information : ndarray, shape (n_cohorts, n_covariates, n_covariates)
        Less the second derivative of the likelihood without penalty.
    """

    log_likelihood: np.ndarray
    score: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class PartialLikelihood:
    """Risk sets of cohorts of the same number of subjects.

    Attributes
    ----------
    covariates : ndarray, shape (n_cohorts, n_subjects, n_covariates)
        Or (n_cohorts, n_events, n_subjects, n_covariates), as they are at each event.
    own : ndarray, shape (n_cohorts, n_events, n_covariates)
        Covariates of the subject with the event.
    weights : ndarray, shape (n_cohorts, n_events, n_subjects)
        1 for subjects at risk, 0 for others; by Efron's method the l-th of d tied events counts those d as
        1 - l / d. A row of zeros is no event.
    subjects : ndarray of int, shape (n_events,)
        Who has the event of each row.

    Notes
    -----
    The first axis of each array may be 1, for all cohorts alike.

    References
    ----------
    Cox (1972) J R Stat Soc B; Breslow (1974) Biometrics; Efron (1977) J Am Stat Assoc; Firth (1993)
    Biometrika; Heinze, Schemper (2001) Biometrics.
    """

    covariates: np.ndarray
    own: np.ndarray
    weights: np.ndarray
    subjects: np.ndarray

    @classmethod
    def of(cls, times, events, covariates, ties="breslow"):
        """Lay out the risk sets.

        Parameters
        ----------
        times, events : ndarray, shape (n_cohorts, n_subjects)
            Times and boolean events.
        covariates : ndarray, shape (n_cohorts, n_subjects, n_covariates)
            Or (n_cohorts, n_subjects, n_subjects, n_covariates): those of the last-but-one axis' subject at
            the time of the subject of the axis before.
        ties : {"breslow", "efron"}, default "breslow"
        """
        subjects = np.flatnonzero(events.any(axis=0))
        when, dies = times[:, subjects, None], events[:, subjects, None]
        weights = ((times[:, None, :] >= when) & dies).astype(float)
        if ties == "efron":
            tied = (times[:, None, :] == when) & events[:, None, :] & dies
            earlier = (tied & (np.arange(times.shape[1]) < subjects[:, None])).sum(axis=2)
            weights -= tied * (earlier / np.maximum(tied.sum(axis=2), 1))[..., None]
        if covariates.ndim == 4:
            covariates = covariates[:, subjects]
        # Differences at an event are all that matters; centred, they lose no digits.
        covariates = covariates - covariates.mean(axis=-2, keepdims=True)
        moves = covariates.ndim == 4
        own = covariates[:, np.arange(len(subjects)), subjects] if moves else covariates[:, subjects]
        return cls(covariates, own * dies, weights, subjects)

    @property
    def is_event(self):
        """Which rows are events, shape (n_cohorts, n_events)."""
        return self.weights.any(axis=2)

    @property
    def n_cohorts(self):
        """Cohorts that differ."""
        return max(len(self.weights), len(self.covariates))

    def take(self, which):
        """The likelihoods of some cohorts."""
        parts = {name: getattr(self, name) for name in ("covariates", "own", "weights")}
        return replace(self, **{name: a if len(a) == 1 else a[which] for name, a in parts.items()})

    def average(self, coef):
        """Average the covariates of those at risk at each event.

        Parameters
        ----------
        coef : ndarray, shape (n_cohorts, n_covariates)

        Returns
        -------
        share : ndarray, shape (n_cohorts, n_events, n_subjects)
            Chance of each subject to have the event.
        mean : ndarray, shape (n_cohorts, n_events, n_covariates)
        variance : ndarray, shape (n_cohorts, n_events, n_covariates, n_covariates)
        log_chance : ndarray, shape (n_cohorts, n_events)
            Logarithm of the chance of the subject who had it; 0 without event.
        """
        linear = np.matmul(self.covariates, coef[:, None, :, None] if self._moves else coef[..., None])[
            ..., 0
        ]
        linear = linear if self._moves else linear[:, None, :]
        # Scaled by the largest hazard at risk, so that no exponential overflows or all vanish.
        largest = np.where(self.weights > 0, linear, -np.inf).max(axis=2, initial=-np.inf)
        largest = np.where(np.isfinite(largest), largest, 0)
        hazard = self.weights * np.exp(np.minimum(linear - largest[..., None], 0))
        total = hazard.sum(axis=2)
        share = hazard / np.where(total > 0, total, 1)[..., None]
        mean = self._sum(share, self.covariates)
        square = self.covariates[..., :, None] * self.covariates[..., None, :]
        flat = square.reshape(*square.shape[:-2], -1)
        variance = self._sum(share, flat).reshape(*mean.shape, -1) - mean[..., :, None] * mean[..., None, :]
        own = np.matmul(self.own, coef[..., None])[..., 0]
        log_chance = np.where(total > 0, own - largest - np.log(np.where(total > 0, total, 1)), 0)
        return share, mean, variance, log_chance

    def evaluate(self, coef, firth=False):
        """Evaluate the log-likelihood and its derivatives.

        Parameters
        ----------
        coef : ndarray, shape (n_cohorts, n_covariates)
        firth : bool, default False
            Add half the logarithm of the determinant of the information.

        Returns
        -------
        Evaluation
        """
        share, mean, variance, log_chance = self.average(coef)
        log_likelihood, score = log_chance.sum(axis=1), (self.own - mean).sum(axis=1)
        information = variance.sum(axis=1)
        if firth:
            penalty, slope = self._penalise(share, mean, variance, information)
            log_likelihood, score = log_likelihood + penalty, score + slope
        return Evaluation(log_likelihood, score, information)

    def maximize(self, firth=False, fixed=None, start=None):
        """Maximize each log-likelihood by Newton's method with step halving.

        Parameters
        ----------
        firth : bool, default False
        fixed : dict of int to float, optional
            Column number and value of coefficients held.
        start : ndarray, shape (n_cohorts, n_covariates), optional

        Returns
        -------
        coef : ndarray, shape (n_cohorts, n_covariates)
        Evaluation
            There. Where no maximum exists the log-likelihood is within about 1e-12 of its least upper bound.
        """
        shape = self.n_cohorts, self.covariates.shape[-1]
        coef = np.zeros(shape) if start is None else np.array(np.broadcast_to(start, shape), float)
        for column, value in (fixed or {}).items():
            coef[:, column] = value
        free = np.setdiff1d(np.arange(shape[1]), list(fixed or {}))
        state = self.evaluate(coef, firth)
        going = np.flatnonzero(np.isfinite(state.log_likelihood)) if len(free) else np.arange(0)
        part = self.take(going)
        for _ in range(MAX_STEPS):
            here = _take(state, going)
            step, gain = part._find_step(here, free)
            moving = gain > SMALLEST_GAIN
            if not moving.any():
                break
            if not moving.all():
                going, here, step = going[moving], _take(here, moving), step[moving]
                part = part.take(moving)
            coef[going], there = part._climb(coef[going], step, here, firth)
            _put(state, going, there)
        return coef, state

    def is_identified(self, information):
        """Which informations tell all coefficients apart, shape (n_cohorts,)."""
        span = np.square(self.covariates).max(axis=tuple(range(1, self.covariates.ndim - 1)))
        diagonal = np.einsum("cpp->cp", information)
        known = (diagonal > NEGLIGIBLE * span).all(axis=1)
        scale = np.sqrt(np.where(known[:, None], diagonal, 1))
        values = np.linalg.eigvalsh(information / scale[:, :, None] / scale[:, None, :])
        return known & (values[:, 0] > NEGLIGIBLE)

    @property
    def _moves(self):
        return self.covariates.ndim == 4

    def _sum(self, share, values):
        if self._moves:
            return np.einsum("cej,cejp->cep", share, values)
        return np.matmul(share, values)

    def _penalise(self, share, mean, variance, information):
        """Half the log determinant of the information, and its derivative."""
        x = self.covariates
        sign, log_determinant = np.linalg.slogdet(information)
        identified = (sign > 0) & self.is_identified(information)
        inverse = np.linalg.inv(
            np.where(identified[:, None, None], information, np.eye(information.shape[1]))
        )
        # Third moments enter through x'Ax only, A the inverse information: one column instead of p cubed.
        spread = inverse[:, None, None] if self._moves else inverse[:, None]
        length = np.einsum("...p,...pq,...q->...", x, spread, x)[..., None]
        together = self._sum(share, x * length) - mean * self._sum(share, length)
        pull = np.einsum("cepq,cqr,cer->cp", variance, inverse, mean)
        slope = together.sum(axis=1) / 2 - pull
        penalty = np.where(identified, log_determinant / 2, -np.inf)
        return penalty, np.where(identified[:, None], slope, 0)

    def _find_step(self, here, free):
        """Newton's step, kept within reach, and twice what it would gain on a parabola."""
        step = np.zeros_like(here.score)
        score = here.score[:, free]
        step[:, free] = _solve(here.information[:, free[:, None], free], score)
        gain = np.einsum("cp,cp->c", score, step[:, free])
        flat = self.covariates.reshape(len(self.covariates), -1, step.shape[1])
        reach = np.abs(np.matmul(flat, step[..., None])).max(axis=(1, 2), initial=0)
        return step * np.minimum(1, LARGEST_STEP / np.maximum(reach, LARGEST_STEP))[:, None], gain

    def _climb(self, coef, step, here, firth):
        """Take the step, halved where the log-likelihood would fall."""
        found = coef + step
        there = self.evaluate(found, firth)
        for halving in range(1, MAX_HALVINGS):
            worse = np.flatnonzero(~(there.log_likelihood >= here.log_likelihood - ROUNDING))
            if not len(worse):
                break
            found[worse] = coef[worse] + step[worse] / 2**halving
            _put(there, worse, self.take(worse).evaluate(found[worse], firth))
        return found, there


def _solve(information, score):
    """Newton's step; along directions without information, none."""
    if information.shape[-1] == 1:
        return np.divide(score, information[..., 0], out=np.zeros_like(score), where=information[..., 0] > 0)
    values, vectors = np.linalg.eigh(information)
    sure = values > 1e-13 * np.maximum(values[:, -1:], 1e-300)
    along = np.einsum("cqp,cq->cp", vectors, score)
    return np.einsum("cpq,cq->cp", vectors, np.divide(along, values, out=np.zeros_like(along), where=sure))


def _take(state, which):
    return Evaluation(state.log_likelihood[which], state.score[which], state.information[which])


def _put(state, which, values):
    state.log_likelihood[which] = values.log_likelihood
    state.score[which] = values.score
    state.information[which] = values.information
