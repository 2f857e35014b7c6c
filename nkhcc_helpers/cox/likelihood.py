"""The Cox partial likelihood, plain and penalised by Firth's method, of many small cohorts at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.optimize import elementwise

from nkhcc_helpers.checks import SAME_TIME, merge_times
from nkhcc_helpers.cox.risk_sets import MOST_PAIRS, OrderedWeights, find_at_risk, merge_alike, weigh

TIES = ("breslow", "efron")
MAX_STEPS = 200
MAX_HALVINGS = 30
LARGEST_STEP = 5.0  # of a linear predictor, in one step
SMALLEST_GAIN = 1e-16  # of a log-likelihood, in one step
MANY_EVENTS, SMALLEST_GAIN_OF_MANY = 200, 1e-20
ROUNDING = 1e-11  # of a log-likelihood
LARGEST_SHARE = 2.0  # of the last step in a correction
SMALLEST_VALUE = 1e-13  # of a standardized information, for a step along its vector
WIDEST = 500.0  # range of linear predictors whose exponentials a double can add up
SMALLEST_LOG = -745.0  # of a number above 0 that a double holds
NEGLIGIBLE = 1e-10  # information, relative to the squared covariates
MOST_OUTWARDS = 40  # steps towards a limit, each half as long again
FALLING, RISING = 1e-12, 1e-6  # along a direction, relative to the covariates
TOLERANCE = 1e-9  # of a limit, times the span of the covariate


@dataclass(frozen=True)
class Evaluation:
    """What the likelihood of each cohort is at its coefficients."""

    log_likelihood: np.ndarray  # (n_cohorts,)
    score: np.ndarray  # its first derivative, (n_cohorts, n_covariates)
    information: np.ndarray  # less the second without penalty, (n_cohorts, n_covariates, n_covariates)

    def take(self, which):
        """Those of some cohorts."""
        return Evaluation(self.log_likelihood[which], self.score[which], self.information[which])

    def put(self, which, values):
        """Overwrite those of some cohorts."""
        self.log_likelihood[which] = values.log_likelihood
        self.score[which] = values.score
        self.information[which] = values.information


@dataclass(frozen=True)
class RiskSetAverages:
    """Averages over the risk set of each event; each subject counts by its chance to be the one."""

    hazard: np.ndarray  # relative hazards, on a scale of their own
    total: np.ndarray  # their sum at each event, 1 where there is none, (n_cohorts, n_events)
    mean: np.ndarray  # of the covariates, (n_cohorts, n_covariates, n_events)
    variance: np.ndarray  # (n_cohorts, n_covariates, n_covariates, n_events)
    log_chance: np.ndarray  # of the subject with the event, 0 where there is none, (n_cohorts, n_events)


@dataclass(frozen=True)
class PartialLikelihood:
    """Risk sets of cohorts of as many subjects; the first axis of an array may be 1, for all cohorts alike.

    Cox (1972) J R Stat Soc B; Breslow (1974) Biometrics; Efron (1977) J Am Stat Assoc; Firth (1993)
    Biometrika; Heinze, Schemper (2001) Biometrics.
    """

    # Centred, (n_cohorts, n_covariates, n_subjects); where they change, with a second axis of events.
    covariates: np.ndarray
    # One, the covariates and their products, in place of the covariates.
    moments: np.ndarray
    # Covariates of the subject with the event, (n_cohorts, n_covariates, n_events).
    own: np.ndarray
    # 1 at risk, 0 not, (n_cohorts, n_subjects, n_events); by Efron's method the l-th of d tied events counts
    # those d as 1 - l / d. All 0 where one of `subjects` has no event in a cohort. Of many in order.
    weights: np.ndarray | OrderedWeights
    # Who has each event in some cohort, in the order of the subjects.
    subjects: np.ndarray

    @classmethod
    def of(cls, times, events, x, ties="breslow", enters=None, *, most_pairs=MOST_PAIRS):
        """Lay out the risk sets of times and events, shape (n_cohorts, n_subjects).

        Where there are `enters`, as of `lay_out_risk`, subjects are at risk after them. `x` has shape
        (n_cohorts, n_subjects, n_covariates); or (n_cohorts, n_subjects, n_subjects, n_covariates), where
        ``x[c, i, j]`` are the covariates of subject j at the time of subject i.
        """
        subjects = np.flatnonzero(events.any(axis=0))
        dies = events[:, None, subjects]
        many = x.ndim == 3 and times.shape[1] * len(subjects) > most_pairs
        weights = (OrderedWeights.of if many else weigh)(times, events, subjects, enters, ties)
        # Differences at an event are all that matters; centred, they lose no digits.
        centre = x.mean(axis=-2, keepdims=True)
        x = np.swapaxes(x - (centre.mean(axis=0) if many else centre), -1, -2)
        if x.ndim == 4:
            x = x[:, subjects]
            own = np.swapaxes(x[:, np.arange(len(subjects)), :, subjects], 0, 1).swapaxes(1, 2)
        else:
            own = x[:, :, subjects]
        if many:
            x, weights = merge_alike(x, weights)
        products = x[..., :, None, :] * x[..., None, :, :]
        products = products.reshape(*x.shape[:-2], x.shape[-2] ** 2, x.shape[-1])
        moments = np.concatenate([np.ones_like(x[..., :1, :]), x, products], axis=-2)
        return cls(x, moments, own * dies, weights, subjects)

    @property
    def n_cohorts(self):
        """Cohorts that differ."""
        return max(len(self.weights), len(self.covariates))

    def take(self, which):
        """The likelihoods of some cohorts."""
        parts = {name: getattr(self, name) for name in ("covariates", "moments", "own", "weights")}
        return replace(self, **{name: a if len(a) == 1 else a[which] for name, a in parts.items()})

    def average(self, coef):
        """Averages over the risk sets at coefficients of shape (n_cohorts, n_covariates)."""
        if self._is_wide(coef):
            return self._unfold().average(coef)
        linear = self._predict(coef)
        # Scaled by the largest hazard at risk, so that no exponential overflows or all vanish.
        if self._moves:
            at_risk = np.swapaxes(self.weights, 1, 2) > 0
            largest = np.where(at_risk, linear, -np.inf).max(axis=-1, initial=-1e300)
        else:
            largest = linear.max(axis=-1, keepdims=True)
        linear = linear - (largest[..., None] if self._moves else largest)
        hazard = np.exp(np.clip(linear, SMALLEST_LOG, 0))
        sums = self._sum(hazard, self.moments)
        n_covariates = self.covariates.shape[-2]
        total = np.where(sums[:, 0] > 0, sums[:, 0], 1)
        mean = sums[:, 1 : n_covariates + 1] / total[:, None]
        square = (sums[:, n_covariates + 1 :] / total[:, None]).reshape(*mean.shape[:2], *mean.shape[1:])
        own = np.matmul(coef[:, None], self.own)[:, 0]
        log_chance = np.where(sums[:, 0] > 0, own - largest - np.log(total), 0)
        return RiskSetAverages(hazard, total, mean, square - mean[:, :, None] * mean[:, None], log_chance)

    def evaluate(self, coef, firth=False):
        """The log-likelihood and its derivatives, penalised by Firth's method or not."""
        if self._is_wide(coef):
            return self._unfold().evaluate(coef, firth)
        at = self.average(coef)
        log_likelihood, score = at.log_chance.sum(axis=1), (self.own - at.mean).sum(axis=2)
        information = at.variance.sum(axis=3)
        if firth:
            penalty, slope = self._penalise(at, information)
            log_likelihood, score = log_likelihood + penalty, score + slope
        return Evaluation(log_likelihood, score, information)

    def maximize(self, firth=False, held=None, start=None, gain=SMALLEST_GAIN):
        """Maximize each log-likelihood by Newton's method with step halving.

        Returns coefficients, shape (n_cohorts, n_covariates), and the `Evaluation` there; without a maximum
        the log-likelihood is within about 1e-12 of its least upper bound. `held` are values of coefficients
        held, NaN where free; it and `start` may be of many cohorts where the likelihood is of one. Steps
        that would gain less than `gain` are not taken.
        """
        n_covariates = self.covariates.shape[-2]
        held = np.full((1, n_covariates), np.nan) if held is None else held
        start = np.zeros((1, n_covariates)) if start is None else start
        shape = max(self.n_cohorts, len(held), len(start)), n_covariates
        free = np.array(np.broadcast_to(np.isnan(held), shape))
        coef = np.where(free, start, np.broadcast_to(held, shape))
        state = self.evaluate(coef, firth)
        # Of many patients the last digits are rounding.
        gain = max(gain, SMALLEST_GAIN_OF_MANY) if self.own.shape[-1] > MANY_EVENTS else gain
        going = np.flatnonzero(np.isfinite(state.log_likelihood) & free.any(axis=1))
        part, last_step, last_move = self.take(going), None, None
        for _ in range(MAX_STEPS):
            here = state.take(going)
            step, gains = part._find_step(here, free[going])
            moving = gains > gain
            if not moving.any():
                break
            if not moving.all():
                going, here, step, part = going[moving], here.take(moving), step[moving], part.take(moving)
                last_step, last_move = (a if a is None else a[moving] for a in (last_step, last_move))
            weight = np.einsum("cpp->cp", here.information)
            mixes = firth and last_step is not None
            move = _mix(step, last_step, last_move, weight) if mixes else step
            found, there = part._climb(coef[going], move, step, here, firth)
            last_step, last_move = step, found - coef[going]
            coef[going] = found
            state.put(going, there)
        return coef, state

    def restrict(self, values, firth=False, start=None):
        """The largest log-likelihoods with each coefficient held at its value, (n_cohorts, n_covariates)."""
        held = np.where(np.eye(len(values), dtype=bool), values, np.nan)[:, None]
        return np.column_stack([self.maximize(firth, row, start)[1].log_likelihood for row in held])

    def count_identified(self, information):
        """Count the coefficients that each information tells apart, shape (n_cohorts,)."""
        axes = (1, 3) if self._moves else (2,)
        span = np.square(self.covariates).max(axis=axes, initial=0)
        known = np.einsum("cpp->cp", information) > NEGLIGIBLE * span
        standard = standardize(np.where(known[:, :, None] & known[:, None], information, 0))[0]
        return (np.linalg.eigvalsh(standard) > NEGLIGIBLE).sum(axis=1)

    @property
    def _moves(self):
        return self.covariates.ndim == 4

    def _predict(self, coef):
        return np.matmul(coef[:, None, None] if self._moves else coef[:, None], self.covariates)[..., 0, :]

    def _is_wide(self, coef):
        fixed = not self._moves and isinstance(self.weights, np.ndarray)
        return fixed and np.ptp(self._predict(coef), axis=-1).max(initial=0) > WIDEST

    def _unfold(self):
        """The same with covariates that could change from event to event."""
        n_events = self.weights.shape[-1]
        parts = {}
        for name in ("covariates", "moments"):
            fixed = getattr(self, name)
            parts[name] = np.broadcast_to(fixed[:, None], (len(fixed), n_events, *fixed.shape[1:]))
        return replace(self, **parts)

    def _sum(self, hazard, values):
        """Sums over the subjects at risk, shape (n_cohorts, n_values, n_events)."""
        if self._moves:
            weighted = hazard * np.swapaxes(self.weights, 1, 2)
            return np.swapaxes(np.matmul(values, weighted[..., None])[..., 0], 1, 2)
        return (values * hazard[:, None]) @ self.weights

    def _penalise(self, at, information):
        """Half the log determinant of the information, and its derivative."""
        x = self.covariates
        sign, log_determinant = np.linalg.slogdet(information)
        n_covariates = information.shape[1]
        identified = (sign > 0) & (self.count_identified(information) == n_covariates)
        inverse = np.linalg.inv(np.where(identified[:, None, None], information, np.eye(n_covariates)))
        # Third moments enter through x'Ax only, A the inverse information: one column instead of p cubed.
        spread = np.matmul(inverse[:, None] if self._moves else inverse, x)
        length = (x * spread).sum(axis=-2, keepdims=True)
        sums = self._sum(at.hazard, np.concatenate([length, x * length], axis=-2)) / at.total[:, None]
        of_means = (at.variance * np.matmul(inverse, at.mean)[:, None]).sum(axis=2)
        slope = ((sums[:, 1:] - at.mean * sums[:, :1]) / 2 - of_means).sum(axis=2)
        penalty = np.where(identified, log_determinant / 2, -np.inf)
        return penalty, np.where(identified[:, None], slope, 0)

    def _find_step(self, here, free):
        """Newton's step, kept within reach, and twice what it would gain on a parabola."""
        score = np.where(free, here.score, 0)
        both = free[:, :, None] & free[:, None, :]
        step = _solve(np.where(both, here.information, 0), score)
        gain = (score * step).sum(axis=1)
        reach = np.abs(self._predict(step)).max(axis=(1, 2) if self._moves else 1, initial=0)
        return step * np.minimum(1, LARGEST_STEP / np.maximum(reach, LARGEST_STEP))[:, None], gain

    def _climb(self, coef, move, step, here, firth):
        """Take the move, or the step halved until the log-likelihood does not fall."""
        found = coef + move
        there = self.evaluate(found, firth)
        for halving in range(MAX_HALVINGS):
            worse = np.flatnonzero(~(there.log_likelihood >= here.log_likelihood - ROUNDING))
            if not len(worse):
                break
            found[worse] = coef[worse] + step[worse] / 2**halving
            there.put(worse, self.take(worse).evaluate(found[worse], firth))
        return found, there


def merge_each(times):
    """Merge near-equal times of each cohort, the first axis, where there are any."""
    ordered = np.sort(times.reshape(len(times), -1), axis=1)
    gaps = np.diff(ordered, axis=1)
    near = (gaps > 0) & (gaps <= SAME_TIME * np.maximum(ordered[:, -1:], 1))
    for cohort in np.flatnonzero(near.any(axis=1)):
        times = np.array(times)
        times[cohort] = merge_times(times[cohort])
    return times


def lay_out_risk(times, enters=None, strata=None):
    """Times and entries such that whoever entered before a time and leaves not before it is at risk at it.

    Of times, shape (n_cohorts, n_subjects), and entries and numbers of strata, whose first axis may be 1 or
    absent. To the likelihood only the order matters. So times become ranks, and strata stretches of time one
    after another: all of one have left when those of the next enter. An entry of 0 is the start, before any
    time. Entries are None, and times as they were, where all are at risk together from the start. A time of
    -1 stays.
    """
    late = enters is not None and np.any(np.asarray(enters) > 0)
    if strata is None and not late:
        return times, None
    n = times.shape[1]
    strata = np.zeros(n) if strata is None else strata
    enters = np.where(np.asarray(enters) > 0, enters, -np.inf) if late else -np.inf
    both = np.hstack([np.broadcast_to(enters, times.shape), times])
    ranks = stats.rankdata(both, method="dense", axis=1)
    start = 2 * n * np.asarray(strata)
    return np.where(times < 0, -1.0, ranks[:, n:] + start), ranks[:, :n] + start


def is_separating(covariates, times, events, directions, enters=None):
    """Whether one direction for each of many cohorts separates it, (n_cohorts,); where True, for sure."""
    along = np.einsum("cnp,cp->cn", covariates, directions)
    gap = along[:, :, None] - along[:, None, :]
    at_risk = np.swapaxes(find_at_risk(times, enters, times[:, None, :]), 1, 2)
    gap = np.where(at_risk & events[:, :, None], gap, 0)
    scale = np.abs(covariates).max(axis=(1, 2), initial=0) * np.abs(directions).sum(axis=1)
    smallest, largest = (bound(gap, axis=(1, 2), initial=0) for bound in (np.min, np.max))
    return (smallest >= -FALLING * scale) & (largest > RISING * scale)


def find_profile_limits(likelihood, coef, log_likelihood, conf_level, *, firth=False):
    """Where the profile log-likelihood falls below the bound of a likelihood-ratio test.

    `coef`, shape (n_cohorts, n_covariates), is where each likelihood is largest, `log_likelihood` its value
    there. Shape (n_cohorts, n_covariates, 2); infinite where the profile never falls so far. Venzon,
    Moolgavkar (1988) Appl Stat; Heinze, Schemper (2001) Biometrics; Chandrupatla (1997) Adv Eng Softw.
    """
    n_cohorts, n_covariates = coef.shape
    target = np.broadcast_to(log_likelihood, n_cohorts) - stats.chi2.ppf(conf_level, 1) / 2
    shape = n_cohorts, n_covariates, 2
    cohort, column, side = (a.ravel() for a in np.indices(shape))
    span = np.ptp(likelihood.covariates, axis=-1)
    span = np.broadcast_to(span.max(axis=1) if span.ndim == 3 else span, coef.shape)[cohort, column]
    others = coef[cohort]

    def excess(value, at):
        """How far the profile is above the target, for the limits numbered `at`; values over the span."""
        at = at.astype(int)
        held = np.full((len(at), n_covariates), np.nan)
        held[np.arange(len(at)), column[at]] = value / span[at]
        # What the other coefficients were at the last value is close to what they are at this one.
        others[at], state = likelihood.take(cohort[at]).maximize(firth, held, others[at])
        return state.log_likelihood - target[cohort[at]]

    step = 2.0 * side - 1
    inner = coef[cohort, column] * span
    outer = inner + step
    inside = np.arange(len(inner))
    for _ in range(MOST_OUTWARDS):
        inside = inside[excess(outer[inside], inside) >= 0]
        if not len(inside):
            break
        inner[inside] = outer[inside]
        step[inside] *= 1.5
        outer[inside] += step[inside]
    found = np.setdiff1d(np.arange(len(inner)), inside)
    limits = np.where(side == 1, np.inf, -np.inf)
    if len(found):
        root = elementwise.find_root(
            excess, (inner[found], outer[found]), args=(found,), tolerances={"xatol": TOLERANCE}
        )
        limits[found] = root.x / span[found]
    return limits.reshape(shape)


def list_alike(varies):
    """The rows in which the same columns vary, with these columns; rows in which none does are left out."""
    kinds = [columns for columns in np.unique(varies, axis=0) if columns.any()]
    return [(np.flatnonzero((varies == kind).all(axis=1)), np.flatnonzero(kind)) for kind in kinds]


def exponentiate(coef):
    """Hazard ratios of coefficients; infinite where a double cannot hold them."""
    with np.errstate(over="ignore"):
        return np.exp(coef)


def standardize(information):
    """Divide informations, shape (..., p, p), by the roots of their diagonals, so that units do not matter.

    Returns them and what was divided by on either side, shape (..., p); 1 where the diagonal is 0.
    """
    diagonal = np.einsum("...pp->...p", information)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    return information / scale[..., :, None] / scale[..., None, :], scale


def _mix(step, last_step, last_move, weight):
    """Correct Newton's step, which leaves out the curvature of the penalty, by how the last one turned out.

    Anderson (1965) J ACM, with a memory of one step; `weight` makes steps of different units comparable.
    """
    change = step - last_step
    size = np.maximum((weight * change**2).sum(axis=1), 1e-300)
    share = np.clip((weight * change * step).sum(axis=1) / size, -LARGEST_SHARE, LARGEST_SHARE)
    return step - share[:, None] * (last_move + change)


def _solve(information, score):
    """Newton's step; along directions without information, none."""
    standard, scale = standardize(information)
    values, vectors = np.linalg.eigh(standard)
    along = np.einsum("cqp,cq->cp", vectors, score / scale)
    size = np.divide(along, values, out=np.zeros_like(along), where=values > SMALLEST_VALUE)
    return np.einsum("cpq,cq->cp", vectors, size) / scale
