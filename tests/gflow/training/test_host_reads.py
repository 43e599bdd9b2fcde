"""Between records a training step of the static plan reads nothing by the host."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gflow import DiscreteEnvironment, MLPPolicy
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.env import Dags
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.sequences.bits import NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.env import VariableLength
from gflow.envs.sequences.rewards import MotifReward
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.objectives import OBJECTIVES
from gflow.training.trainer import TrainConfig, Trainer

READS = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal",
    "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::bincount",
    "aten::unique_dim_consecutive", "aten::is_nonzero", "aten::repeat_interleave",
}  # fmt: skip
"""Operations whose result, or its size, the host waits for."""

INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class HostReads(TorchDispatchMode):
    """Counts operations that read a tensor on the host, boolean indexing among them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function._schema.name
        masks = name in INDEXING and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if name in READS or masks:
            self.seen[name] += 1
        return function(*args, **(kwargs or {}))


def dags() -> Dags:
    source = torch.Generator().manual_seed(0)
    return Dags(4, BGe(erdos_renyi_network(4, 4.0, generator=source).sample(20, source)))


ENVIRONMENTS: dict[str, DiscreteEnvironment[Any]] = {
    "hypergrid": HyperGrid(2, 6, Corners(6, 0.05)),
    "forced": HyperGrid(2, 6, Corners(6, 0.05), ending="forced"),
    "bits": bit_sequences(NearModes(plant_modes(8, count=4), word=2, beta=1.0, form="distance")),
    "strings": VariableLength("ABC", 4, MotifReward("ABC", ["AB", "CC"], beta=1.0, floor=0.1)),
    "sets": FixedSizeSets(8, 3, AdditiveEnergy(torch.linspace(-1, 1, 8))),
    "dags": dags(),
}


def trainer_of(name: str, objective: str, **settings: Any) -> Trainer:
    env = ENVIRONMENTS[name]
    torch.manual_seed(0)
    if isinstance(env, Dags):
        policy: Any = DagPolicy(env, 16, 1, log_flow=True)
    else:
        policy = MLPPolicy(env, 16, 1, log_flow=True)
    config = TrainConfig(batch_size=8, plan="static", **settings)
    return Trainer(env, policy, OBJECTIVES[objective].build(env), config, record_every=5)


def test_the_counter_sees_what_it_should() -> None:
    x = torch.arange(4.0)
    with HostReads() as reads:
        float(x.sum())
        bool((x > 1).all())
        x[x > 1]
        x.nonzero()
        x.sum().item()
        torch.unique(x)
    assert sum(reads.seen.values()) == 6, reads.seen


@pytest.mark.parametrize("objective", ["tb", "db", "subtb"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_step_between_records_reads_nothing(name: str, objective: str) -> None:
    trainer = trainer_of(name, objective, epsilon=0.1, ema=0.9, grad_clip=1.0)
    assert trainer.train_step() == {}
    with HostReads() as reads:
        for _ in range(3):
            assert trainer.train_step() == {}
    assert not reads.seen, reads.seen
    with HostReads() as reads:
        record = trainer.train_step()
    assert set(record) == {"loss", "mean_log_reward", "mean_length", "log_z"}
    assert sum(reads.seen.values()) == 5, "four numbers, and the one that says that all was well"


def test_the_loss_of_a_batch_reads_nothing_whatever_is_read_elsewhere() -> None:
    trainer = trainer_of("sets", "subtb")
    batch = trainer.sample()
    with HostReads() as reads:
        loss, terms = trainer.loss_of(batch)
        trainer.apply(loss)
    assert not reads.seen, reads.seen
    assert loss.shape == ()
    assert terms.log_pf.shape == batch.actions.shape
