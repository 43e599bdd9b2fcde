"""Training: the loop, its settings, checkpoints and trackers."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.training.config import TrainConfig
    from gflow.training.ledger import Record
    from gflow.training.trainer import Callback, Trainer

_HOME = {
    "Callback": "gflow.training.trainer",
    "Record": "gflow.training.ledger",
    "TrainConfig": "gflow.training.config",
    "Trainer": "gflow.training.trainer",
}

__all__ = ["Callback", "Record", "TrainConfig", "Trainer"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
