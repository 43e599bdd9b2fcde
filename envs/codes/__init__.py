"""Grids of discrete codes that explain pictures: a discrete variational autoencoder of digits."""

from gflow.envs.codes.env import codes
from gflow.envs.codes.model import CodeModel
from gflow.envs.codes.policy import CodePolicy

__all__ = ["CodeModel", "CodePolicy", "codes"]
