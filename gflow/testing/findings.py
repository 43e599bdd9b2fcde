"""What a check found: which rule is broken, what was seen, what to do about it."""

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gflow.errors import GFlowError


@dataclass(frozen=True)
class Finding:
    """One broken rule.

    Attributes:
        rule: Its name, such as "forward-mask-too-wide".
        seen: What was observed, with the state shown.
        advice: What to do.
    """

    rule: str
    seen: str
    advice: str

    def __str__(self) -> str:
        lines = [f"[{self.rule}]"]
        for part in (self.seen, f"-> {self.advice}"):
            lines += textwrap.wrap(part, 96, initial_indent="    ", subsequent_indent="    ")
        return "\n".join(lines)


class _FindingsError(GFlowError, AssertionError):
    """An error that carries all findings.

    Attributes:
        findings: All of them, in the order in which the rules are checked.
        rules: Their names.
    """

    subject = ""

    def __init__(self, name: str, findings: Iterable[Finding]) -> None:
        self.name, self.findings = name, list(findings)
        count = len(self.findings)
        rules = "rule" if count == 1 else "rules"
        text = "\n".join(str(finding) for finding in self.findings)
        super().__init__(f"{name} breaks {count} {rules} of {self.subject}:\n{text}")

    @property
    def rules(self) -> list[str]:
        """Names of the broken rules."""
        return [finding.rule for finding in self.findings]


class BrokenEnvironmentError(_FindingsError):
    """`check_env` found rules that an environment breaks."""

    subject = "environments"


class BrokenObjectiveError(_FindingsError):
    """`check_objective` found rules that an objective breaks."""

    subject = "objectives"


class Findings:
    """Collects findings; of each rule the first is kept, for later ones tend to repeat it."""

    def __init__(self) -> None:
        self.found: dict[str, Finding] = {}

    def add(self, rule: str, seen: str, advice: str) -> None:
        """Note that a rule is broken, unless that is known."""
        self.found.setdefault(rule, Finding(rule, seen, advice))

    def __contains__(self, rule: str) -> bool:
        return rule in self.found

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.found.values())

    def __bool__(self) -> bool:
        return bool(self.found)


class AbandonedError(Exception):
    """A method failed so that the rules which read its result cannot be checked. Internal."""


def attempt(rule: Callable[..., None], *args: Any) -> None:
    """One rule that cannot be checked to its end does not keep the others from being checked."""
    try:
        rule(*args)
    except AbandonedError:
        return
