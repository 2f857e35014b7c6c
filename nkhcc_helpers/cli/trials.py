"""`nkhcc init` and `nkhcc check`: the folder of a trial."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from nkhcc_helpers.cli import BAD_INPUT, describe_problems, fail, near, option


@click.command(short_help="Write a first trial.yaml for tables, or for a list of patients.")
@click.argument("source", metavar="DIR|FILE", type=click.Path(path_type=Path))
@option("--out", "out_dir", "Folder for a list of patients.", metavar="DIR", type=click.Path(path_type=Path))
@option("--force", "Write over what is there.", is_flag=True)
def init(source: Path, *, out_dir: Path | None, force: bool) -> None:
    """Write a first trial.yaml for a folder of tables, or make a folder of a list of patients.

    DIR holds ADaM tables, adsl and adtte at least. Everything in trial.yaml that the tables do not tell is
    marked as guessed, and listed. Nothing is asked.

    FILE has one row a patient, with columns such as id, group, time_months and event (1 or 0), or for two
    endpoints pfs_time, pfs_event, os_time and os_event. The folder is named after it, unless --out says
    otherwise.

    \b
    nkhcc init my_trial
    nkhcc init patients.csv

    Exit code: 0 when trial.yaml was written, 2 when the tables cannot be read or it is there already.
    """
    from nkhcc_helpers.trial.init import init_trial
    from nkhcc_helpers.trial.problems import TrialDataError

    try:
        folder, proposal = init_trial(source, out_dir, force=force)
    except (TrialDataError, OSError) as error:
        fail(str(error), BAD_INPUT)
    click.echo(f"Wrote {near(folder / 'trial.yaml')}")
    told = {"Notices": proposal.said, "Guessed, and marked so in the file": proposal.guessed}
    told["To be filled in before anything else"] = proposal.lacking
    for heading, lines in told.items():
        click.echo("\n  ".join([f"{heading}:", *lines]) if lines else "", nl=bool(lines))
    click.echo(f"Next: nkhcc check {near(folder)}\n      nkhcc run --data {near(folder)}")


@click.command(short_help="Check a trial's folder and say what it holds.")
@click.argument("folder", default="", metavar="[DIR]")
@option("--all", "every", "List every problem, not the first few of a kind.", is_flag=True)
@option(
    *("--format", "form", "json: problems, each with table, row, column, value and rule, and warnings."),
    type=click.Choice(["text", "json"]),
    default="text",
)
def check(folder: str, *, every: bool, form: str) -> None:
    """Check a trial's folder and say what it holds, or the problems found, the first few of each kind.

    DIR holds trial.yaml, the tables adsl, adtte, adex and adae (csv, tsv, txt, xpt, sas7bdat, parquet, json,
    ndjson or xlsx), and published.yaml if there is one; the bundled trial by default.

    Exit code: 0 for a trial that the notebooks can read, 2 for any other.
    """
    import dataclasses
    import json

    from nkhcc_helpers.trial.problems import TrialDataError, TrialDataWarning
    from nkhcc_helpers.trial.trial import load_trial

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrialDataWarning)
            trial = load_trial(folder)
    except TrialDataError as error:
        if form == "text":
            fail(describe_problems(error, every=every), BAD_INPUT)
        click.echo(json.dumps({"problems": [*map(dataclasses.asdict, error.problems)], "warnings": []}))
        raise SystemExit(BAD_INPUT) from None
    told = json.dumps({"problems": [], "warnings": trial.warnings})
    click.echo(_summarize(trial) if form == "text" else told)


def _summarize(trial: Any) -> str:
    from nkhcc_helpers.trial.metadata import count_noun
    from nkhcc_helpers.trial.problems import format_printable

    metadata, word = trial.metadata, trial.metadata.treatment_word
    lines = [f"{metadata.study_id}: {metadata.title}", f"Provenance: {metadata.provenance}"]
    groups = count_noun(len(trial.groups), "group")
    lines += [
        f"Left out: {count_noun(n, 'patient')}, {key or 'no group'}" for key, n in trial.left_out.items()
    ]
    lines.append(f"{count_noun(len(trial.subjects), 'patient')} in {groups}:")
    for arm in trial.arm_table().itertuples():
        treated = count_noun(arm.n, "patient")
        if arm.infusions > 0:
            treated += f", {count_noun(int(arm.infusions), word)}"
        if arm.dose >= 0:
            treated += f" of {arm.dose:g} {metadata.dose_unit}".rstrip()
        lines.append(f"  {arm.group}  {treated}  {arm.label}")
    lines += [_summarize_endpoint(trial, code) for code in trial.endpoint_labels]
    events = count_noun(len(trial.adverse_events), "adverse event")
    events = events if metadata.adverse_events.collected else "adverse events not collected"
    given = count_noun(len(trial.infusions), word)
    lines.append(f"{given if metadata.exposure.collected else 'exposure not collected'}, {events}")
    claims = count_noun(len(trial.published.claims) if trial.published else 0, "published claim")
    lines.append(f"{claims} to compare with, {count_noun(len(metadata.assumptions), 'assumption')}")
    lines += [f"Warning: {warning}" for warning in trial.warnings]
    return "\n".join(map(format_printable, lines))


def _summarize_endpoint(trial: Any, code: str) -> str:
    from nkhcc_helpers.trial.metadata import count_noun

    rows, about = trial.survival(code), trial.endpoint(code)
    of = count_noun(len(rows), "patient") + (f" ({about.population})" if about.population else "")
    parts = [
        f"{count_noun(int(rows['event'].sum()), 'event')} of {of}",
        f"longest {rows['time'].max():.1f} {trial.unit}",
    ]
    parts += [f"time since {about.origin}"] if about.origin else []
    parts += [f"{about.competing} competes"] if about.competing else []
    return f"{code} ({about.label}): {', '.join(parts)}"
