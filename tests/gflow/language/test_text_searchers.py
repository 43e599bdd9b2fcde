"""Searchers of texts: they write and score, and the trainer does neither."""

from typing import Any

import pytest
import torch

from gflow import TrainConfig, Trainer
from gflow.behaviours.searchers import Searchers
from gflow.envs.language.pretraining import small_gpt2
from gflow.language import HuggingFacePolicy, LanguageModel, Prompts, ReferenceLM, TokenEnvironment
from gflow.objectives import ModifiedSubTrajectoryBalance


def made(searchers: Searchers) -> Trainer:
    """A trainer of the tempered continuations of three prompts."""
    network = small_gpt2(7, 2, 16, 16, 0, 0, heads=2)
    for value in network.parameters():
        value.data.mul_(6.0 if value.dim() > 1 else 1.0)
    model = LanguageModel(network).adapt(4)
    prompts = Prompts([[1, 2], [3], [4, 4, 5]])
    env = TokenEnvironment(7, 0, ReferenceLM(model, prompts, 0, 0.7), 4, 1, prompts=prompts)
    return Trainer(
        env, HuggingFacePolicy(env, model), ModifiedSubTrajectoryBalance(),
        TrainConfig(batch_size=12, lr=0.01), condition=prompts.sampler(4), behaviour=searchers,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_trainer_neither_writes_nor_scores(workers: int) -> None:
    """Two passes a step with searchers: over the prompts and over the texts, for the loss."""
    searchers = Searchers(workers, publish=2, recent=0.5)
    trainer = made(searchers)
    trainer.train(1)
    policy: Any = trainer.policy
    before, weights = policy.model.passes, [p.clone() for p in policy.parameters()]
    record = trainer.train(5)
    assert policy.model.passes == before + 10 or not workers
    assert any(not torch.equal(a, b) for a, b in zip(weights, policy.parameters(), strict=True))
    assert 0 <= record["staleness"] <= 6
    if workers:  # until weights of later batches have come back
        for _ in range(5000):
            trainer.train(1)
            assert searchers.memory is not None
            if int(searchers.memory.column("made").max()) > 2:
                break
    searchers.close()
    assert searchers.memory is not None
    assert int(searchers.memory.column("made").max()) > 2
    reward: Any = trainer.env.reward
    rows = torch.arange(len(searchers.memory))[-12:]
    batch = searchers.memory.sample(rows, trainer.sampler)
    sent = trainer.env.target_of_trajectories(batch)
    reward.forget()
    torch.testing.assert_close(trainer.env.target_of_trajectories(batch), sent)
