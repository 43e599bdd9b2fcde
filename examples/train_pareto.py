"""One sampler for every trade-off between two landscapes: preferences given at sampling time.

Run:   python examples/train_pareto.py [--steps 1000] [--picture front.png]
Takes: about a minute on one CPU core.
Shows: how well 1280 samples cover the true front before and after; expect 99 % of its
       hypervolume, and more of the first function the more it is asked for.
"""

import argparse
from pathlib import Path

import torch

from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.conditions.preferences import DirichletPreferences, PreferenceEncoder
from gflow.conditions.temperatures import GammaBeta
from gflow.envs.grids.landscapes import landscape_grid
from gflow.memory.pareto import ParetoArchive, exact_front
from gflow.metrics import gd_plus, hypervolume, igd_plus, pc_entropy
from gflow.objectives import TrajectoryBalance
from gflow.rewards.scalarizations import Preferences
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--picture", default="", help="write the fronts to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    # The condition is two weights and an inverse temperature; log R = beta log(w . scores).
    env = landscape_grid(("branin", "currin"), scalarization=Preferences(beta=None))
    preferences = DirichletPreferences(2, alpha=1.5, beta=GammaBeta(16.0))
    policy = MLPPolicy(env, 64, 3, "uniform", condition_encoder=PreferenceEncoder(2, beta=True))
    objective = TrajectoryBalance(
        condition_dim=env.condition_dim, condition_encoder=PreferenceEncoder(2, beta=True)
    )
    config = TrainConfig(args.steps, batch_size=128, lr=5e-3, log_z_lr=5e-3, epsilon=0.01)
    archive = ParetoArchive(env)
    trainer = Trainer(env, policy, objective, config, condition=preferences, callbacks=[archive])

    _, front = exact_front(enumerate_states(env))
    generator = torch.Generator().manual_seed(1)

    def sample(condition: torch.Tensor) -> torch.Tensor:
        batch = Sampler(env).forward(
            policy, len(condition), condition=condition, generator=generator
        )
        assert batch.scores is not None
        return batch.scores

    def report(when: str) -> torch.Tensor:
        scores = sample(preferences(1280, generator))
        share = float(hypervolume(scores) / hypervolume(front))
        near, far = float(gd_plus(scores, front)), float(igd_plus(scores, front))
        print(
            f"{when:8}hypervolume {share:.4f} of the front's  GD+ {near:.4f}  IGD+ {far:.5f}  "
            f"entropy {float(pc_entropy(scores, front)):.2f}"
        )
        return scores

    report("before")
    trainer.train()
    scores = report("after")
    print(f"the archive holds {len(archive)} vectors; the true front has {len(front)}")
    for weight in (0.0, 0.5, 1.0):
        asked = torch.tensor([[weight, 1 - weight, 32.0]]).expand(256, -1)
        branin, currin = sample(asked).mean(0).tolist()
        print(f"branin weighs {weight:.1f}: mean branin {branin:.3f}, mean currin {currin:.3f}")
    if args.picture:
        from gflow.tasks.pictures import fronts

        sets = {"generated": scores, "true front": front, "best of the run": archive.scores}
        fronts(sets, ("branin", "currin"), Path(args.picture))


if __name__ == "__main__":
    main()
