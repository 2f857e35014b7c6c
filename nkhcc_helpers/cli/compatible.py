"""`nkhcc compatible`: cohorts that give every published number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nkhcc_helpers.cli import AT_LEAST_1, BAD_INPUT, fail, near, option


@click.command(short_help="Draw cohorts that give every published number.")
@option(
    "--claims",
    "A published.yaml with a trial.yaml beside it; that of the bundled trial by default.",
    metavar="FILE",
    default="",
)
@option("--cohorts", "n_cohorts", "", type=AT_LEAST_1, default=1_000, show_default=True)
@option("--seed", "The same seed draws the same.", type=int, default=20260124, show_default=True)
@option("--jobs", "Processes.", type=AT_LEAST_1, default=2, show_default=True)
@option("--bounds", "Search for bounds of every statistic too; takes minutes more.", is_flag=True)
@option("--narrowing", "Sample without each claim in turn too; takes minutes more.", is_flag=True)
@option("--minutes", "End after so many, with what there is.", type=click.FloatRange(min=0), default=0)
@option("--out", "out_dir", "Folder for compatible.parquet.", required=True, metavar="DIR")
def compatible(
    claims: str,
    n_cohorts: int,
    seed: int,
    jobs: int,
    bounds: bool,
    narrowing: bool,
    minutes: float,
    out_dir: str,
) -> None:
    """Draw cohorts that give every published number, and write them as Parquet.

    A run that was cut off goes on where it was when the same command is given again. What --minutes ends
    depends on the machine, and notebook 05 says so; it goes on from what had ended by itself. Where no cohort
    gives every number, the claims that conflict are named. With --bounds, the smallest and largest value of
    every statistic over all compatible cohorts are searched for and written to compatible_bounds.csv; with
    --narrowing, what each claim is worth is measured as notebook 05 does and written to
    compatible_narrowing.csv.

    \b
    nkhcc compatible --bounds --narrowing --out data/nkhcc
    nkhcc compatible --claims my_trial/published.yaml --cohorts 200 --out my_trial

    Exit code: 0 when the cohorts were written, 1 when the claims conflict or nothing was found in time, 2
    when the files are not as they must be.
    """
    from nkhcc_helpers.compatible.checks import find_conflict
    from nkhcc_helpers.compatible.cohorts import (
        IncompatibleClaimsError,
        OutOfTimeError,
        load_cohorts,
        make_cohorts,
        read_claimed,
        read_design,
    )
    from nkhcc_helpers.compatible.sampling import Effort
    from nkhcc_helpers.identification.bounds import make_bounds
    from nkhcc_helpers.identification.narrowing import make_narrowing
    from nkhcc_helpers.trial.problems import TrialDataError
    from nkhcc_helpers.trial.trial import locate_bundled

    effort, extras = Effort.within(minutes), bounds + narrowing
    options = {"jobs": jobs, "progress": True}
    try:
        source, own = claims or locate_bundled(), effort.share(1 / (1 + extras))
        claimed = read_claimed(source)
        path = make_cohorts(claimed, out_dir, n_cohorts=n_cohorts, seed=seed, effort=own, **options)
        _describe_cohorts(path, claimed, n_cohorts)
        if bounds:
            cohorts, metadata = load_cohorts(path, claimed), read_design(source)
            found = make_bounds(cohorts, metadata, out_dir, effort=effort.share(1 / extras), **options)
            click.echo(f"Wrote bounds to {near(found)}")
        if narrowing:
            found = make_narrowing(claimed, out_dir, effort=effort, **options)
            click.echo(f"Wrote what each claim is worth to {near(found)}")
    except OutOfTimeError as error:
        fail(f"{error}; more --minutes reach further", 1)
    except IncompatibleClaimsError as error:
        click.echo("No cohort gives every published number; looking for the claims that conflict.", err=True)
        fail(str(find_conflict(claimed, seed=seed, effort=effort, found=error.found)), 1)
    except (TrialDataError, ValueError, OSError) as error:
        fail(str(error), BAD_INPUT)


def _describe_cohorts(path: Path, claimed: Any, n_asked: int) -> None:
    from nkhcc_helpers.compatible.claims import list_assumptions
    from nkhcc_helpers.compatible.cohorts import describe_file

    made = describe_file(path)
    click.echo(f"Claims about times: {len(claimed.claims)}, all met by every cohort. Assumed:")
    for each in list_assumptions(claimed).itertuples():
        click.echo(f"  {each.assumption}{f', {each.endpoint}' if each.endpoint else ''}: {each.value}")
    click.echo(f"Wrote {made['n_cohorts']} cohorts to {near(path)}, sha256 {made['sha256']}")
    if made["is_cut"]:
        click.echo(f"Time was up before {n_asked} were drawn: how many these are depends on the machine.")
    click.echo("Notebook 05 takes them from the trial's folder, or by its parameter cohorts_file.")
