"""`diagnose`: why did it fail?"""

from __future__ import annotations

import click

from devsetup.cli.root import Command, Session, json_option, on_option


@click.command("diagnose", cls=Command)
@click.argument("logs", nargs=-1, required=True, metavar="LOG|-...", type=click.Path(allow_dash=True, readable=False))
@on_option
@click.option("--report", "as_report", is_flag=True, help="Print a report to paste, without personal data.")
@json_option
@click.pass_obj
def diagnose_command(session: Session, logs: tuple[str, ...], on: str | None, as_report: bool, as_json: bool) -> int:
    r"""Explain a failure log: the root cause first, and what to do about it on this machine.

    Reads coloured, gzip-ed, German and French logs, and those of parallel make. Exit status 0 when the log shows no
    failure, else 1.

    \b
    make 2>&1 | devsetup diagnose -
    devsetup diagnose build.log.gz --on debian-13
    """
    from devsetup.app import diagnosing
    from devsetup.console import diagnosis_views

    workspace = session.workspace()
    facts, found = diagnosing.diagnose_logs(workspace, logs, on)
    if as_json:
        session.screen.json("diagnosis", found)
    elif as_report:
        redact = diagnosing.shareable(workspace.environ)
        diagnoses = (each.diagnosis for each in found)
        session.screen.raw(diagnosis_views.report(diagnoses, facts, redact, session.version))
    else:
        for each in found:
            session.screen.show(diagnosis_views.diagnosis(each.diagnosis, each.log, named=len(found) > 1))
    return 1 if any(each.diagnosis.failed for each in found) else 0
