"""`devsetup doctor --html`: one self-contained page. It needs no script and loads nothing from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.console.doctor_views import counted, group_title
from devsetup.doctor.finding import STATUSES
from devsetup.doctor.report import PROBLEMS, mendable

if TYPE_CHECKING:
    from devsetup.doctor.report import Report

_TEMPLATE = Path(__file__).with_name("doctor_page.html")


def page(found: Report) -> str:
    """A report as HTML. Every text in it is escaped, whatever a file or a program of the machine said."""
    import jinja2  # noqa: PLC0415 - 45 ms that only `--html` needs

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    remarks = list(found.notes)
    if found.ignored:
        remarks.append(f"ignored by config.toml: {', '.join(found.ignored)}")
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        report=found,
        groups={group_title(group): results for group, results in found.groups.items()},
        counted=counted(found),
        remarks=remarks,
        statuses=STATUSES,
        problems=PROBLEMS,
        mendable=mendable,
    )
