"""What GFlowNet-EM is compared with: autoencoders that ascend the evidence bound by its gradient.

With `CodePolicy(..., autoregressive=False)` for the posterior it is a mean-field autoencoder.
"""

import torch
from torch import Tensor

from gflow.bounds import Bounds, Count, Rate
from gflow.checks import check_range, checked
from gflow.conditions.draws import ConditionSampler
from gflow.em.reward import JointReward
from gflow.environment.base import Environment
from gflow.evaluation.evaluate import evaluate
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler


def evidence_loss(log_joint: Tensor, log_q: Tensor) -> Tensor:
    r"""() a number whose gradient is, on average, that of minus the evidence bound.

    .. math:: \mathcal{L} = E_{z \sim q}[\log p(x, z) - \log q(z \mid x)]

    The bound's gradient in q is that of log q times what the sample is worth, less the mean worth
    of the other samples of its row, which changes nothing on average and spares much noise.

    Args:
        log_joint: (B, S) log p(x, z) of S > 1 samples for each of B rows, with gradients.
        log_q: (B, S) their log q(z | x), with gradients.

    Reference:
        Kool et al., Buy 4 REINFORCE samples, get a baseline for free!, 2019; the gradient is that
        of VarGrad, Richter et al., 2020, https://arxiv.org/abs/2010.10436
    """
    samples = log_q.shape[1]
    check_range("evidence_loss", Bounds(low=2), samples=samples)
    worth = (log_joint - log_q).detach()
    advantage = (worth - worth.mean(1, keepdim=True)) * (samples / (samples - 1))
    return -(log_joint + advantage * log_q).mean()


@checked
def fit_autoencoder(
    env: Environment[Tensor],
    policy: Policy,
    rows: ConditionSampler,
    generator: torch.Generator,
    steps: Count = 1000,
    batch_size: Count = 16,
    samples: Count = 4,
    lr: Rate = 1e-3,
    model_lr: Rate = 1e-3,
    optimizer: torch.optim.Optimizer | None = None,
) -> torch.optim.Optimizer:
    """Ascend the evidence bound in the policy and in the model of the reward, together.

    Args:
        env: Latents with a `JointReward`.
        policy: q(z | x); trained in place.
        rows: Draws rows of the data.
        generator: Source of rows and latents.
        steps: Steps of Adam.
        batch_size: Rows of a step.
        samples: Latents of each row, at least two.
        lr: Learning rate of the policy.
        model_lr: That of the model.
        optimizer: What an earlier call returned, to go on from there; the rates are its own then.

    Returns:
        The optimiser.
    """
    reward = env.reward
    assert isinstance(reward, JointReward)
    if optimizer is None:
        optimizer = torch.optim.Adam(
            [
                {"params": list(policy.parameters()), "lr": lr},
                {"params": list(reward.model.parameters()), "lr": model_lr},
            ]
        )
    sampler = Sampler(env)
    for _ in range(steps):
        told = rows(batch_size, generator).repeat_interleave(samples, 0)
        batch = sampler.forward(policy, len(told), condition=told, generator=generator)
        terms = evaluate(env, policy, batch)
        log_q = terms.log_pf.where(terms.mask, 0.0).sum(1)
        log_joint = reward.model.log_prob(reward.data.rows(told), batch.final_states)
        loss = evidence_loss(log_joint.view(-1, samples), log_q.view(-1, samples))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    reward.version += 1
    return optimizer
