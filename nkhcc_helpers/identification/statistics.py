"""Statistics of cohorts compatible with published summaries: what each is called, and its value in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd

from nkhcc_helpers.checks import Named
from nkhcc_helpers.cox.design import find_unusable
from nkhcc_helpers.cox.diagnostics import code_or_blank, list_moves, move_assumed
from nkhcc_helpers.cox.fit import METHODS
from nkhcc_helpers.cox.likelihood import exponentiate
from nkhcc_helpers.cox.models import fit_cox_many
from nkhcc_helpers.parallel import NEVER, Count
from nkhcc_helpers.survival.curves import Curves
from nkhcc_helpers.survival.logrank import OrderedCohorts
from nkhcc_helpers.survival.many import permute_logrank_many, permute_pairs_many
from nkhcc_helpers.survival.permutation import DEFAULT_SEED
from nkhcc_helpers.trial.metadata import convert

EVERYONE = "all"  # in the place of a group in a name
LANDMARKS = (12, 24)  # months
HORIZON = 24  # months
TESTS = ("logrank_p", "permutation_p", "trend_p")
BY_GROUP = ("median", "rate", "rmst")
COVARIATES = ("dose", "infusions", "order")  # of designs
NOT_REACHED = -1.0  # in the place of a printed number
ENDS = {"lowest": np.fmin, "highest": np.fmax}
KEYS = ["endpoint", "statistic"]
HAZARD_RATIOS = ["endpoint", "design", "method", "covariate", "cohort", "coef"]


@dataclass(frozen=True)
class Statistic(Named):
    """One statistic of a cohort and an endpoint, of one group or a pair, or of everyone.

    Kinds: ``logrank_p`` (asymptotic), ``permutation_p``, ``trend_p``, ``pair_p`` (of `group` and an earlier
    one), ``median``, ``rate`` (percent without the event `at` so many months), ``rmst``, ``follow_up``,
    ``longest``, ``n_censored`` and ``hr`` (of a `covariate`, by "firth" or "partial").
    """

    kind: str
    group: str | None = None
    against: str | None = None
    at: float | None = None
    covariate: str | None = None
    method: str | None = None

    @cached_property
    def name(self):
        """What it is called in files, such as ``rate 12 all`` or ``hr dose (firth)``."""
        if self.kind == "pair_p":
            return f"pair_p {self.group}-{self.against}"
        if self.kind == "hr":
            return f"hr {self.covariate} ({self.method})"
        at = "" if self.at is None else f" {self.at:g}"
        of = f" {self.group or EVERYONE}" if self.kind in BY_GROUP else ""
        return self.kind + at + of

    @property
    def is_p_value(self):
        """Whether it is the P-value of a test."""
        return self.kind in (*TESTS, "pair_p")

    def calculate(self, observed):
        """Its value in every cohort of an `Observed`, shape (n_cohorts,); NaN where there is none."""
        return np.asarray(_CALCULATE[self.kind](observed, self), dtype=float)

    def place_not_reached(self, values):
        """Values with inf for a median of times or follow-up that is not reached: it is later than any.

        Other statistics stay as they are, for what is past a last follow-up has no place among the others.
        """
        values = np.asarray(values, float)
        return np.where(np.isnan(values), np.inf, values) if self.kind in ("median", "follow_up") else values

    def print_rounded(self, values):
        """Values rounded as a paper would print them; `NOT_REACHED` where there is none, which it prints too.

        P-values to two significant digits, percents and counts to whole numbers, times to one decimal.
        """
        values = np.asarray(values, float)
        known = np.where(np.isnan(values), 1.0, values)
        if self.is_p_value:
            decimals = 1 - np.floor(np.log10(np.maximum(known, 1e-12)))
            rounded = np.round(known * 10.0**decimals) / 10.0**decimals
        else:
            rounded = np.round(known, 0 if self.kind in ("rate", "n_censored") else 1)
        return np.where(np.isnan(values), NOT_REACHED, rounded)


@dataclass(frozen=True, eq=False)
class Observed:
    """Many cohorts of one endpoint, with what several statistics share computed once.

    Times and events have shape (n_cohorts, n_patients); `tau` is in the unit of the times, 24 months when
    absent; of hazard ratios the end over the `designs` is taken.
    """

    times: np.ndarray
    events: np.ndarray
    claimed: object
    n_draws: int = 20_000
    seed: int = DEFAULT_SEED
    tau: float | None = None
    designs: tuple = ()
    end: str = "highest"

    @cached_property
    def curves(self):
        """`Curves` of everyone (None) and of each group by its code, one a cohort."""
        ordered = OrderedCohorts.of(self.times, self.events, self.claimed.codes)
        by_group = {group: ordered.trace_group(code) for code, group in enumerate(self.claimed.groups)}
        return {None: ordered.curves, **by_group}

    @cached_property
    def overall(self):
        """Tests across the groups."""
        return self._permute(None)

    @cached_property
    def trend(self):
        """Tests of the ordered trend, with scores 1, 2, ..."""
        return self._permute(np.arange(1, len(self.claimed.groups) + 1))

    @property
    def month(self):
        """A month in the unit of the times."""
        return convert("months", self.claimed.unit)

    def _permute(self, scores):
        drawing = {"n_draws": self.n_draws, "seed": self.seed, "scores": scores}
        return permute_logrank_many(self.times, self.events, self.claimed.codes, **drawing)


def _compare_pair(own, statistic):
    """P-values of a pair of groups, exact where all allocations can be listed, unadjusted."""
    pair = tuple(own.claimed.groups.index(each) for each in (statistic.against, statistic.group))
    drawing = {"pairs": [pair], "n_draws": own.n_draws, "seed": own.seed}
    return permute_pairs_many(own.times, own.events, own.claimed.codes, **drawing)[pair].p_value


def _fit_ratio(own, statistic):
    """The most extreme hazard ratio over the designs."""
    coefs = []
    for x, at in place_covariate(own.claimed, statistic, own.designs):
        fits = fit_cox_many(own.times, own.events, x[own.claimed.codes], method=statistic.method)
        coefs.append(fits.coef[:, at])
    return exponentiate(ENDS[own.end].reduce(coefs))


_CALCULATE = {
    "logrank_p": lambda own, _: own.overall.p_asymptotic,
    "permutation_p": lambda own, _: own.overall.p_value,
    "trend_p": lambda own, _: own.trend.p_value,
    "pair_p": _compare_pair,
    "median": lambda own, of: own.curves[of.group].find_medians("printed"),
    "rate": lambda own, of: 100 * own.curves[of.group].find_survival(of.at * own.month),
    "rmst": lambda own, of: own.curves[of.group].find_means(
        HORIZON * own.month if own.tau is None else own.tau
    ),
    "follow_up": lambda own, _: Curves.of(own.times, ~own.events).find_medians("printed"),
    "longest": lambda own, _: own.times.max(axis=1),
    "n_censored": lambda own, _: (~own.events).sum(axis=1),
    "hr": _fit_ratio,
}


def list_statistics(groups, landmarks=LANDMARKS):
    """The statistics of an endpoint in the order of a table; of one group no tests, and everyone once."""
    listed = [Statistic(kind) for kind in TESTS] if len(groups) > 1 else []
    listed += [
        Statistic("pair_p", group=later, against=earlier)
        for place, later in enumerate(groups)
        for earlier in groups[:place]
    ]
    of = (None, *groups) if len(groups) > 1 else (None,)
    kinds = [("median", None), *(("rate", at) for at in landmarks), ("rmst", None)]
    listed += [Statistic(kind, group, at=at) for (kind, at), group in product(kinds, of)]
    return listed + [Statistic(kind) for kind in ("follow_up", "longest", "n_censored")]


def list_ratios(covariates=COVARIATES, methods=METHODS):
    """The hazard ratios of some covariates, as statistics."""
    return [Statistic("hr", covariate=name, method=method) for method, name in product(methods, covariates)]


def calculate_statistics(
    cohorts,
    *,
    n_draws=20_000,
    seed=DEFAULT_SEED,
    landmarks=LANDMARKS,
    tau=None,
    wanted=None,
    endpoints=None,
    until=NEVER,
    watch=None,
):
    """Calculate tests and Kaplan-Meier estimates of every cohort.

    Methods as of `survival.compare_survival`, `estimate_km`, `estimate_rmst` and `estimate_follow_up`.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    n_draws : int, default 20,000
        Random allocations, where there are too many to list; at least one or ValueError.
    seed : int
    landmarks : sequence of float, default (12, 24)
        Months at which survival is estimated.
    tau : float, optional
        Horizon of the restricted mean, above 0, in the unit of the cohorts; 24 months when absent.
    wanted, endpoints : sequence of Statistic and of str, optional
        What to calculate; everything when absent.
    until, watch : Deadline and callable, optional
        No test, which alone take long, is begun after it (`count_calculated`); called as `Count` calls it.

    Returns
    -------
    DataFrame
        One row for each cohort; columns (endpoint, `Statistic`). P-values of pairs are unadjusted; times in
        `cohorts.claimed.unit`; medians as R prints them, whatever the convention of the claims. NaN where not
        reached or past a last follow-up. A drawn P has a standard error of sqrt(P (1 - P) / `n_draws`), which
        cohorts share in part, as they share the allocations.
    """
    claimed, frames = cohorts.claimed, {}
    listed = [each for each in list_statistics(claimed.groups, landmarks) if wanted is None or each in wanted]
    count = Count(watch, len(listed) * len(endpoints or claimed.endpoints), "statistics")
    for endpoint in endpoints or claimed.endpoints:
        observed = Observed(*cohorts.of(endpoint), claimed, n_draws, seed, tau)
        counted = count.over(listed)
        begun = (each for each in counted if not each.is_p_value or (len(cohorts) and not until.is_over))
        frames[endpoint] = pd.DataFrame({each: each.calculate(observed) for each in begun})
    return pd.concat(frames, axis=1, names=KEYS).rename_axis("cohort")


def count_calculated(statistics, claimed):
    """How many statistics `calculate_statistics` calculated of those it was asked for, and what is missing.

    Parameters
    ----------
    statistics : DataFrame
    claimed : ClaimedTrial

    Returns
    -------
    (int, int, list of (str, Statistic))
        The last are tests that were not begun in time.
    """
    wanted = list(product(statistics.columns.unique(0), list_statistics(claimed.groups)))
    missing = [each for each in wanted if each not in statistics.columns]
    return len(wanted) - len(missing), len(wanted), missing


def place_covariate(claimed, ratio, designs):
    """Covariates of the groups in each design, (n_groups, n_covariates), and the place of a ratio's own."""
    having = [x.loc[list(claimed.groups)] for _, x in designs if ratio.covariate in x.columns]
    if not having:
        raise ValueError(f"{ratio} needs a design with {ratio.covariate}")
    return [(x.to_numpy(float), list(x.columns).index(ratio.covariate)) for x in having]


@dataclass(frozen=True)
class Design(Named):
    """What planned doses and infusions are taken to be: a coding of dose, and a number moved, if any."""

    coding: str
    quantity: str | None = None
    group: str | None = None
    value: float | None = None

    @property
    def is_as_assumed(self):
        """Whether no number is moved."""
        return self.quantity is None

    @cached_property
    def name(self):
        """What it is called in files, such as ``log2, dose of A 0.25``."""
        moved = "as assumed" if self.is_as_assumed else f"{self.quantity} of {self.group} {self.value:g}"
        return f"{self.coding}, {moved}"


def list_planned_designs(metadata):
    """List the designs of doses and infusions, or that of the order of the groups where these cannot be used.

    Parameters
    ----------
    metadata : TrialMetadata
        Its arms name their assumed numbers in ``assumed``.

    Returns
    -------
    list of (Design, DataFrame)
        Coded covariates by group: dose as it is and in doublings, each with numbers as assumed, then each of
        them moved in turn. Designs in which a covariate is not known or cannot be estimated are left out.
    """
    return list_designs(metadata) or list_designs(metadata, ("order",), dose_codings=("order",))


def list_designs(
    metadata,
    covariates=("dose", "infusions"),
    *,
    dose_codings=("relative", "log2"),
    factors=(0.5, 2.0),
    n_values=3,
):
    """As `list_planned_designs`, of these covariates and codings; moves as of `cox.sweep_assumptions`."""
    codes = [arm.code for arm in metadata.arms]
    planned = pd.DataFrame(
        {
            "group": pd.Categorical(codes, categories=codes, ordered=True),
            **{name: [getattr(arm, name) for arm in metadata.arms] for name in ("dose", "infusions")},
        },
        index=codes,
    ).astype({"dose": float, "infusions": float})
    if planned[planned.columns.intersection(covariates)].isna().any(axis=None):
        return []
    plans = [((), planned)]
    for group, quantity, value, assumed in list_moves(metadata, factors=factors, n_values=n_values):
        if value != assumed:
            plans.append(((quantity, group, value), move_assumed(planned, group, quantity, value)))
    designs = [
        (Design(coding, *moved), code_or_blank(plan, covariates, coding))
        for coding in dose_codings
        for moved, plan in plans
    ]
    return [(design, x) for design, x in designs if not find_unusable(x)]


def calculate_hazard_ratios(
    cohorts, designs, *, methods=METHODS, ties="breslow", endpoints=None, until=NEVER
):
    """Fit a Cox model to every cohort and endpoint, for every design and method.

    Parameters
    ----------
    cohorts : CompatibleCohorts
    designs : list of (Design, DataFrame)
        As of `list_planned_designs`; ValueError where one lacks a group, as for other methods and ties.
    methods : sequence of {"firth", "partial"}, default both
    ties : {"breslow", "efron"}, default "breslow"
    endpoints, until
        As for `calculate_statistics`; the first design is fitted even after `until`.

    Returns
    -------
    DataFrame
        Columns ``endpoint design method covariate cohort coef``: log hazard ratio per unit of the covariate,
        NaN where not estimable; no rows without designs, as of groups that do not differ in dose and
        infusions.
    """
    claimed, parts = cohorts.claimed, [pd.DataFrame(columns=HAZARD_RATIOS).astype({"coef": float})]
    for design, x in designs if len(cohorts) else ():
        if missing := [group for group in claimed.groups if group not in x.index]:
            raise ValueError(f"design {str(design)!r} lacks group {', '.join(missing)}")
        if len(parts) > 1 and until.is_over:
            break
        of_patients = x.loc[list(claimed.groups)].to_numpy(float)[claimed.codes]
        for endpoint, method in product(endpoints or claimed.endpoints, methods):
            fits = fit_cox_many(*cohorts.of(endpoint), of_patients, method=method, ties=ties)
            coef = pd.DataFrame(fits.coef, columns=x.columns).rename_axis("cohort")
            coef = coef.melt(ignore_index=False, var_name="covariate", value_name="coef").reset_index()
            parts.append(coef.assign(endpoint=endpoint, design=design, method=method))
    return pd.concat(parts[1:] or parts, ignore_index=True)[HAZARD_RATIOS]


def spread_ratios(hazard_ratios, *, method="firth"):
    """Hazard ratios of the first design as statistics of each cohort, to stand beside the others.

    Parameters
    ----------
    hazard_ratios : DataFrame
        As of `calculate_hazard_ratios`.
    method : str, default "firth"

    Returns
    -------
    DataFrame
        One row for each cohort; columns (endpoint, `Statistic`), none where there are no hazard ratios.
    """
    of_method = hazard_ratios[hazard_ratios["method"] == method]
    kept = of_method[of_method["design"] == of_method["design"].iloc[0]] if len(of_method) else of_method
    columns = {
        (endpoint, Statistic("hr", covariate=covariate, method=method)): np.exp(
            part.set_index("cohort")["coef"]
        )
        for (endpoint, covariate), part in kept.groupby(["endpoint", "covariate"], sort=False)
    }
    table = pd.DataFrame(columns).rename_axis(index="cohort")
    if not columns:
        table.columns = pd.MultiIndex.from_arrays([[], []])
    return table.rename_axis(columns=KEYS)
