"""A page for a run: one self-contained HTML file, from the run's folder alone, without torch."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.report.write import page_of, write_report

_HOME = {"page_of": "gflow.report.write", "write_report": "gflow.report.write"}

__all__ = ["page_of", "write_report"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
