"""How well a sampler does: one definition per name.

`distribution` compares laws over all objects of an enumerable environment, `likelihood` estimates
the probability of given objects, `bounds` brackets log Z, `samples` counts and scores what was
drawn, `multiobjective` compares vectors of scores with a Pareto front. All return float64.
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
from gflow.metrics.multiobjective import (
    averaged_hausdorff,
    focus_accuracy,
    gd_plus,
    hausdorff,
    hypervolume,
    igd_plus,
    pc_entropy,
    r2_indicator,
    top_k,
    unit_faces,
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
    "averaged_hausdorff",
    "corner_regions",
    "diversity",
    "draw_objects",
    "effective_sample_size",
    "elbo",
    "empirical_log_law",
    "entropy",
    "eubo",
    "expected_reward",
    "focus_accuracy",
    "gd_plus",
    "greedy_modes",
    "hamming_distances",
    "hausdorff",
    "hypervolume",
    "igd_plus",
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
    "pc_entropy",
    "pearson",
    "r2_indicator",
    "relative_mean_error",
    "spearman",
    "top_k",
    "top_k_mean",
    "total_variation",
    "unique_fraction",
    "unit_faces",
]
