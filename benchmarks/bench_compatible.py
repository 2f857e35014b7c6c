"""Compatible cohorts: time, memory and effective size of the bundled trial's 1,000, and how cost grows."""

import resource
import sys
from time import perf_counter

import numpy as np

from nkhcc_helpers.compatible.chains import Chains
from nkhcc_helpers.compatible.claims import ClaimedTrial
from nkhcc_helpers.compatible.cohorts import sample_compatible
from nkhcc_helpers.compatible.sampling import Target
from nkhcc_helpers.identification.answers import diagnose
from nkhcc_helpers.identification.statistics import calculate_statistics
from nkhcc_helpers.trial.claims import CohortAssumptions, LogrankP, Median
from nkhcc_helpers.trial.trial import load_trial

MOST_SECONDS, MOST_MEGABYTES, FEWEST_EFFECTIVE = 90, 1_500, 400
N_CHAINS, N_TIMED = 400, 5


def measure_bundled():
    """Draw 1,000 cohorts of the bundled trial's claims; seconds, smallest effective size, largest R-hat."""
    trial = load_trial()
    claimed = ClaimedTrial.of(trial.published, trial.metadata)
    start = perf_counter()
    cohorts = sample_compatible(claimed, n_cohorts=1_000, progress=True)
    seconds = perf_counter() - start
    found = diagnose(cohorts, calculate_statistics(cohorts))
    return seconds, found["effective_size"].min(), found["r_hat"].max()


def measure_sweep(times_as_many):
    """Seconds in which one chain of a trial so many times the size of 18 patients tries as many moves."""
    sizes = {code: times_as_many * size for code, size in {"A": 3, "B": 5, "C": 6, "D": 4}.items()}
    medians = dict(zip(sizes, (12.6, 16.1, 18.4, 31.3), strict=True))
    claims = [
        Median(kind="median", endpoint="OS", group=code, value=value, decimals=1)
        for code, value in medians.items()
    ]
    claims.append(LogrankP(kind="logrank_p", endpoint="OS", value=0.04, decimals=2))
    censored = [{"endpoint": "OS", "most": 4}]
    assumed = CohortAssumptions(shortest=0.1, longest=114, censored=censored)
    claimed = ClaimedTrial(sizes, ("OS",), tuple(claims), assumed)
    rng = np.random.default_rng(1)
    target = Target.of(claimed, "OS")
    chains = Chains(target, *target.draw_start("medians", N_CHAINS, rng), rng)
    seconds = []
    for _ in range(N_TIMED):
        start = perf_counter()
        for _ in claimed.codes:
            chains.move()
        seconds.append(perf_counter() - start)
    return float(np.median(seconds)) / N_CHAINS


def main():
    seconds, effective_size, r_hat = measure_bundled()
    used = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    megabytes = max(resource.getrusage(who).ru_maxrss for who in used) / 1024
    print(f"1,000 cohorts: {seconds:.0f} s (limit {MOST_SECONDS}), {megabytes:.0f} MB a process")
    print(
        f"smallest effective size {effective_size:.0f} (limit {FEWEST_EFFECTIVE}), largest R-hat {r_hat:.3f}"
    )
    sweeps = {18 * times: measure_sweep(times) for times in (1, 2, 4)}
    for n, cost in sweeps.items():
        growth = np.log(cost / sweeps[18]) / np.log(n / 18) if n > 18 else np.nan
        print(f"{n} patients: {1e6 * cost:.0f} us a sweep of one chain, growth as n^{growth:.2f}")
    grows_faster = sweeps[72] > 16 * sweeps[18]
    is_thin = effective_size < FEWEST_EFFECTIVE
    sys.exit(seconds > MOST_SECONDS or 2 * megabytes > MOST_MEGABYTES or is_thin or grows_faster)


if __name__ == "__main__":
    main()
