"""How well a sampler does: one definition per name.

`distribution` compares laws over all objects of an enumerable environment, `likelihood` estimates
the probability of given objects, `bounds` brackets log Z, `samples` counts and scores what was
drawn. All return float64.
"""

from gflow.metrics.bounds import (
    effective_sample_size,
    elbo,
    eubo,
    importance_log_z,
    log_z_error,
)
from gflow.metrics.distribution import (
    draw_objects,
    empirical_log_law,
    entropy,
    expected_reward,
    jsd,
    kl,
    l1,
    mean_l1,
    total_variation,
)
from gflow.metrics.likelihood import (
    Correlation,
    Likelihood,
    average_ranks,
    log_likelihood,
    log_reward_correlation,
    pearson,
    spearman,
)
from gflow.metrics.samples import (
    ModeCounter,
    corner_regions,
    diversity,
    greedy_modes,
    hamming_distances,
    mean_pairwise_distance,
    mean_reward_accuracy,
    relative_mean_error,
    top_k_mean,
    unique_fraction,
)

__all__ = [
    "Correlation",
    "Likelihood",
    "ModeCounter",
    "average_ranks",
    "corner_regions",
    "diversity",
    "draw_objects",
    "effective_sample_size",
    "elbo",
    "empirical_log_law",
    "entropy",
    "eubo",
    "expected_reward",
    "greedy_modes",
    "hamming_distances",
    "importance_log_z",
    "jsd",
    "kl",
    "l1",
    "log_likelihood",
    "log_reward_correlation",
    "log_z_error",
    "mean_l1",
    "mean_pairwise_distance",
    "mean_reward_accuracy",
    "pearson",
    "relative_mean_error",
    "spearman",
    "top_k_mean",
    "total_variation",
    "unique_fraction",
]
