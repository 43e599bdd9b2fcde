"""`gflow sweep`: a W&B sweep file run on this machine, without a server or an account."""

from gflow.cli.sweep.run import run_sweep

__all__ = ["run_sweep"]
