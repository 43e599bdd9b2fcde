"""Proofs as files, checked by a fresh compiler that knows nothing of the search."""

import subprocess
import tempfile
from pathlib import Path

from gflow.envs.proofs.checker import CheckerError, Theorem
from gflow.envs.proofs.coq.process import find_program

CLOSED = "Closed under the global context"


def recheck(theorem: Theorem, tactics: tuple[str, ...], seconds: float = 60.0) -> str:
    """The script of a proof, after `coqc` compiled it and said that it assumes nothing.

    Args:
        theorem: What was proved.
        tactics: How.
        seconds: How long that may take.

    Raises:
        CheckerError: It is refused, assumes something, or takes too long.
        MissingCheckerError: Coq is not installed.
    """
    script = theorem.script(tactics)
    program = find_program("coqc")
    with tempfile.TemporaryDirectory(prefix="gflow-coqc-") as folder:
        file = Path(folder) / "certificate.v"
        file.write_text(f"{script}Print Assumptions {theorem.name}.\n", encoding="utf-8")
        try:
            found = subprocess.run(
                [program, "-q", file.name],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckerError(f"coqc took longer than {seconds:g} s for:\n{script}") from error
    if found.returncode:
        raise CheckerError(f"coqc refuses this proof: {found.stderr.strip()}\n{script}")
    if CLOSED not in found.stdout:
        raise CheckerError(f"This proof assumes something: {found.stdout.strip()}\n{script}")
    return script
