"""Mutants of `gflow/energies`."""

BACK = "tests/gflow/energies/test_back_and_forth.py"
NETWORKS = "tests/gflow/energies/test_energy_networks.py"
LEARNING = "tests/gflow/energies/test_energy_learning.py"
BALANCE = f"{BACK}::test_the_chain_leaves_the_energy_as_it_is"
ISING = f"{NETWORKS}::test_an_edge_of_the_ising_energy_is_met_twice"
PENALTY = f"{NETWORKS}::test_the_penalty_counts_both_triangles_and_its_pull_falls_off"
STEP = f"{LEARNING}::test_a_step_makes_data_likelier_and_negatives_less"
PENALTIES = f"{LEARNING}::test_penalties_are_of_slopes_at_data_and_of_sizes"
MOVES = f"{LEARNING}::test_moves_rise_evenly_to_all_sites"
CHAINS = f"{LEARNING}::test_chains_go_on_or_begin_anew"
RESUMED = f"{LEARNING}::test_training_goes_on_as_if_it_had_not_stopped"

MUTANTS = (
    (
        "proposal-ratio-without-the-way-back",  # EB-2
        "gflow/energies/proposals.py",
        "backward=torch.stack(down_again).sum(0) - log_down",
        "backward=log_down - torch.stack(down_again).sum(0)",
        BALANCE,
    ),
    (
        "proposal-ratio-forward-turned",  # EB-2
        "gflow/energies/proposals.py",
        "forward=torch.stack(up_again).sum(0) - log_up",
        "forward=log_up - torch.stack(up_again).sum(0)",
        BALANCE,
    ),
    (
        "proposal-returns-by-other-moves",  # EB-2
        "gflow/energies/proposals.py",
        "returning.append(env.forward_action(states, undo))",
        "returning.append(env.forward_action(states, undo) ^ 1)",
        BALANCE,
    ),
    (
        "proposal-gain-turned",  # EB-2
        "gflow/energies/proposals.py",
        "gain = env.target_log_reward(states) - env.target_log_reward(objects)",
        "gain = env.target_log_reward(objects) - env.target_log_reward(states)",
        BALANCE,
    ),
    (
        "proposal-moves-the-rejected",
        "gflow/energies/proposals.py",
        "return where(accepted, found.candidates, objects), accepted",
        "return where(~accepted, found.candidates, objects), accepted",
        f"{BACK}::test_moves_have_these_probabilities",
    ),
    (
        "likelihood-by-the-other-ratio",  # EB-3
        "gflow/metrics/likelihood.py",
        "parts.append(-evaluate(env, policy, back).log_weight.double())",
        "parts.append(evaluate(env, policy, back).log_weight.double())",
        f"{BACK}::test_likelihoods_are_exact_where_trajectories_balance",
    ),
    (
        "likelihood-a-mean-of-log-ratios",  # EB-3
        "gflow/metrics/likelihood.py",
        "log_mean = ratio.logsumexp(1) - torch.tensor(num_trajectories, dtype=torch.float64).log()",
        "log_mean = ratio.mean(1)",
        f"{BACK}::test_likelihoods_are_too_low_on_average",
    ),
    (
        "ising-energy-of-one-triangle",
        "gflow/energies/networks.py",
        "return upper + upper.T",
        "return upper",
        ISING,
    ),
    (
        "ising-energy-with-a-diagonal",
        "gflow/energies/networks.py",
        "upper = self.weight.triu(1)",
        "upper = self.weight.triu(0)",
        f"{NETWORKS}::test_a_diagonal_of_the_weights_says_nothing",
    ),
    (
        "sparsity-whose-pull-stays",
        "gflow/energies/networks.py",
        "size = self.knee * (size / self.knee).log1p()",
        "size = self.knee * (size / self.knee)",
        PENALTY,
    ),
    (
        "base-turned",
        "gflow/energies/networks.py",
        "slope = (base[:, 1] - base[:, 0]) / 2 if values == 2",
        "slope = (base[:, 0] - base[:, 1]) / 2 if values == 2",
        f"{NETWORKS}::test_a_perceptron_starts_at_its_base",
    ),
    (
        "features-of-none",
        "gflow/energies/networks.py",
        "return ((2 * states - 3) * (states > 0)).to(dtype)",
        "return (2 * states - 3).to(dtype)",
        f"{NETWORKS}::test_features_tell_values_apart",
    ),
    (
        "energy-climbs-negatives",
        "gflow/energies/learner.py",
        "gap = good.mean() - bad.mean()",
        "gap = bad.mean() - good.mean()",
        STEP,
    ),
    (
        "energy-couplings-of-no-edge",  # EB-4
        "gflow/energies/learner.py",
        "states, taken = self.proposer.move(numbered, policy, states, moves, generator)",
        "taken = self.proposer.move(numbered, policy, states, moves, generator)[1]",
        f"{LEARNING}::test_couplings_of_a_lattice_are_recovered",
    ),
    (
        "energy-penalty-paid-out",
        "gflow/energies/learner.py",
        "loss = network.penalty() - gap",
        "loss = -network.penalty() - gap",
        STEP,
    ),
    (
        "gradient-penalty-of-sums",
        "gflow/energies/learner.py",
        "slope.square().sum(1).mean()",
        "slope.square().mean()",
        PENALTIES,
    ),
    (
        "l2-of-data-alone",
        "gflow/energies/learner.py",
        "self.l2 * (good.square().mean() + bad.square().mean())",
        "self.l2 * good.square().mean()",
        PENALTIES,
    ),
    (
        "moves-rise-late",
        "gflow/energies/learner.py",
        "horizon * (self.steps + 1) // self.warmup",
        "horizon * self.steps // self.warmup",
        MOVES,
    ),
    (
        "moves-beyond-the-most",
        "gflow/energies/learner.py",
        "most = min(self.most or horizon, horizon)",
        "most = horizon",
        MOVES,
    ),
    (
        "chains-begin-anew-each-time",
        "gflow/energies/learner.py",
        "            self.chains = states\n",
        "            self.chains = None\n",
        CHAINS,
    ),
    (
        "chains-not-kept",
        "gflow/energies/learner.py",
        'self.steps, self.chains = state["steps"], state["chains"]',
        'self.steps = state["steps"]',
        RESUMED,
    ),
    (
        "energy-changes-unsaid",
        "gflow/energies/learner.py",
        "        self.reward.version += 1\n",
        "",
        f"{LEARNING}::test_batches_are_scored_by_the_energy_as_it_is",
    ),
    (
        "energy-rate-halves-late",
        "gflow/energies/learner.py",
        "0.5 ** (self.steps / self.half_life)",
        "0.5 ** (self.steps // 2 / self.half_life)",
        f"{LEARNING}::test_the_learning_rate_halves",
    ),
    (
        "random-order-of-the-last-states",  # EB-5
        "gflow/energies/policy.py",
        "left[trajectories.state_index[:, :-1][trajectories.mask]] = True",
        "left[trajectories.state_index[:, 1:][trajectories.mask]] = True",
        f"{LEARNING}::test_balance_of_a_random_order_is_the_error_of_an_autoregressive_model",
    ),
    (
        "random-order-without-places",  # EB-1
        "gflow/energies/policy.py",
        'F.embedding_bag(symbols + offset, self.table, mode="sum")',
        'F.embedding_bag(symbols + 0 * offset, self.table, mode="sum")',
        f"{LEARNING}::test_either_order_learns_a_frozen_energy[random]",
    ),
    (
        "energy-turned",  # EB-1
        "gflow/energies/reward.py",
        "return self.network.log_density(states.to(first.device)).to(states.device)",
        "return -self.network.log_density(states.to(first.device)).to(states.device)",
        f"{NETWORKS}::test_a_reward_follows_its_network_without_gradient",
    ),
)
