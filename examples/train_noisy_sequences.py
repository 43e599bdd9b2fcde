"""Write sequences although every symbol may come out wrong: expected flows under noise.

Run:   python examples/train_noisy_sequences.py [--task bits|dna] [--noise 0.25] [--kernel learned]
Takes: half a minute on one CPU core for bits, a minute for dna with its 65,536 strings.
Shows: total variation between what the policy writes and exact expected flows; expect below 0.05.
       Then the distance to sampling in proportion to the reward, which expected flows do not
       promise, and the mean log-reward of all three.
"""

import argparse

import torch

from gflow import DiscreteEnvironment, MLPPolicy, enumerate_states
from gflow.envs import WithNoise
from gflow.envs.noise import TokenNoise
from gflow.envs.sequences.bits import NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.motif_scores import motif_scores
from gflow.envs.sequences.tfbind import tf_binding
from gflow.exact import expected_flows
from gflow.metrics import total_variation
from gflow.objectives import ExpectedDetailedBalance
from gflow.training import TrainConfig, Trainer


def sequences(task: str) -> DiscreteEnvironment[torch.Tensor]:
    """Eight bits near one of five modes, or DNA by its (made-up) binding."""
    if task == "bits":
        return bit_sequences(NearModes(plant_modes(8, 5), word=1, beta=1.5, form="distance"))
    return tf_binding(motif_scores(), "left_to_right", beta=3.0, peak=1.0)


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=["bits", "dna"], default="bits")
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--kernel", choices=["known", "learned"], default="known")
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    env = WithNoise(sequences(args.task), TokenNoise(args.noise))
    objective = ExpectedDetailedBalance.build(env, kernel=args.kernel)
    policy = MLPPolicy(env, width=256, backward="uniform", log_flow=True)
    config = TrainConfig(args.steps, batch_size=64, lr=4e-3, ema=0.99, epsilon=0.01)
    trainer = Trainer(env, policy, objective, config)

    graph = enumerate_states(env)
    flows = expected_flows(graph)
    laws = {
        "expected flows": graph.terminal_log_prob(flows.log_pf, flows.log_stop),
        "R / Z": graph.log_target(),
    }
    while trainer.step < args.steps:
        record = trainer.train(min(max(1, args.steps // 5), args.steps - trainer.step))
        laws["learned"] = graph.terminal_distribution(trainer.evaluated_policy)
        distance = total_variation(laws["learned"], laws["expected flows"])
        print(
            f"step {trainer.step:5d}  loss {record['loss']:.2e}  total variation to expected flows "
            f"{float(distance):.4f}"
        )
    print(f"to R / Z {float(total_variation(laws['learned'], laws['R / Z'])):.4f}")
    log_reward = graph.log_reward()[graph.objects]
    for name, law in laws.items():
        print(f"mean log R {float(law.exp() @ log_reward):8.3f}  {name}")
    if "model_loss" in record:
        print(f"cross-entropy of the learned kernel {record['model_loss']:.4f}")


if __name__ == "__main__":
    main()
