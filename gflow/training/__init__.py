"""Training: the loop, its settings, checkpoints and trackers."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.training.callbacks import Checkpoints, EarlyStopping, TimeLimit, TrainingCallback
    from gflow.training.config import TrainConfig
    from gflow.training.ledger import Record
    from gflow.training.trainer import Callback, Trainer

_HOME = {
    "Callback": "gflow.training.trainer",
    "Checkpoints": "gflow.training.callbacks",
    "EarlyStopping": "gflow.training.callbacks",
    "Record": "gflow.training.ledger",
    "TrainConfig": "gflow.training.config",
    "TimeLimit": "gflow.training.callbacks",
    "Trainer": "gflow.training.trainer",
    "TrainingCallback": "gflow.training.callbacks",
}

__all__ = [
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "Record",
    "TimeLimit",
    "TrainConfig",
    "Trainer",
    "TrainingCallback",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)
