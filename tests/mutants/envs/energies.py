"""Mutants of `envs/energies`."""

DATA = "tests/envs/energies/test_energy_data.py"
TASK = "tests/envs/energies/test_ebgfn_task.py"
ROWS = f"{DATA}::test_rows_are_drawn_exactly"
CODE = f"{DATA}::test_neighbouring_cells_differ_in_one_bit_and_are_found_again"
MOMENTS = f"{DATA}::test_densities_have_their_moments_and_fit_the_square"
PLACES = f"{DATA}::test_spirals_moons_and_squares_are_where_they_belong"
OPTIONS = f"{TASK}::test_options_reach_their_parts"
PICTURES = f"{TASK}::test_pictures_show_where_points_and_densities_are"

MUTANTS = (
    (
        "rows-one-bond-short",
        "envs/energies/ising_data.py",
        "left = height - done if around",
        "left = height - done - 1 if around",
        ROWS,
    ),
    (
        "rows-of-an-open-lattice-look-one-too-far",
        "envs/energies/ising_data.py",
        "else height - done - 1\n",
        "else height - done\n",
        ROWS,
    ),
    (
        "rows-without-their-own-weight",
        "envs/energies/ising_data.py",
        "first = powers[height - 1].squeeze(1) * close.squeeze(1)",
        "first = powers[height - 1].squeeze(1)",
        ROWS,
    ),
    (
        "rows-of-the-wrong-side",
        "envs/energies/ising_data.py",
        "return (values if reward.height >= reward.width else values.transpose(1, 2))",
        "return (values if reward.height < reward.width else values.transpose(1, 2))",
        ROWS,
    ),
    (
        "gibbs-half-a-bond",
        "envs/energies/ising_data.py",
        "matrix = 4 * couplings.double()",
        "matrix = 2 * couplings.double()",
        f"{DATA}::test_gibbs_chains_reach_the_distribution",
    ),
    (
        "gibbs-half-a-field",
        "envs/energies/ising_data.py",
        "(matrix[site] @ spins + 2 * field)",
        "(matrix[site] @ spins + field)",
        f"{DATA}::test_gibbs_chains_reach_the_distribution",
    ),
    (
        "gray-is-binary",
        "envs/energies/gray.py",
        "gray = number ^ (number >> 1)",
        "gray = number ^ (number >> 9)",
        CODE,
    ),
    (
        "gray-read-backward",
        "envs/energies/gray.py",
        "binary = gray.cumsum(2) % 2",
        "binary = gray.flip(2).cumsum(2).flip(2) % 2",
        CODE,
    ),
    (
        "cells-without-middles",
        "envs/energies/gray.py",
        "(number.double() + 0.5)",
        "(number.double() + 0.0)",
        CODE,
    ),
    (
        "gaussians-too-wide",
        "envs/energies/densities.py",
        "return (centre + 0.5 * _normal(g, count, 2)) / math.sqrt(2)",
        "return centre + 0.5 * _normal(g, count, 2)",
        MOMENTS,
    ),
    (
        "spirals-that-do-not-turn",
        "envs/energies/densities.py",
        "point = _polar(-angle / 3, -angle)",
        "point = _polar(-angle / 3, angle)",
        PLACES,
    ),
    (
        "lower-moon-above",
        "envs/energies/densities.py",
        "torch.where(lower == 1, 0.5 - y, y)",
        "torch.where(lower == 1, 0.5 + y, y)",
        PLACES,
    ),
    (
        "white-squares-too",
        "envs/energies/densities.py",
        "row = 2 * _integer(g, 2, count) + column % 2",
        "row = 2 * _integer(g, 2, count) + _integer(g, 2, count)",
        PLACES,
    ),
    (
        "mmd-with-equal-rows",
        "envs/energies/metrics.py",
        "(table.sum() - table.diagonal().sum()) / (len(a) * (len(a) - 1))",
        "table.mean()",
        f"{DATA}::test_discrepancies_of_codes_are_unbiased",
    ),
    (
        "mmd-of-agreement",
        "envs/energies/metrics.py",
        "return (-rate * (a.shape[1] - same)).exp()",
        "return (-rate * same).exp()",
        f"{DATA}::test_discrepancies_of_codes_are_unbiased",
    ),
    (
        "rmse-summed",
        "envs/energies/metrics.py",
        ".square().mean().sqrt()",
        ".square().sum().sqrt()",
        f"{DATA}::test_couplings_are_compared_over_all_entries",
    ),
    (
        "nll-turned",
        "envs/energies/metrics.py",
        "return -float(found.log_prob.mean())",
        "return float(found.log_prob.mean())",
        f"{DATA}::test_likelihoods_of_data_are_those_of_the_sampler",
    ),
    (
        "true-nll-without-z",
        "envs/energies/metrics.py",
        "return log_z - float(lattice(objects).double().mean())",
        "return -float(lattice(objects).double().mean())",
        f"{DATA}::test_the_truth_has_an_exact_likelihood",
    ),
    (
        "tested-on-training-data",
        "envs/energies/task.py",
        "return self._drawn[self.samples :]",
        "return self._drawn[: self.tested]",
        OPTIONS,
    ),
    (
        "energy-l2-forgotten",
        "envs/energies/task.py",
        "l2=self.energy_l2,",
        "l2=self.gradient_penalty,",
        OPTIONS,
    ),
    (
        "log-z-of-the-base-turned",
        "envs/energies/task.py",
        "return -float(site_log_prob(self.training_data(), 2).mean(1).sum())",
        "return float(site_log_prob(self.training_data(), 2).mean(1).sum())",
        f"{TASK}::test_log_z_is_that_of_the_first_energy",
    ),
    (
        "histogram-upside-down",
        "envs/energies/pictures.py",
        "torch.bincount(place[:, 1] * cells + place[:, 0]",
        "torch.bincount(place[:, 0] * cells + place[:, 1]",
        PICTURES,
    ),
    (
        "density-turned",
        "envs/energies/pictures.py",
        "torch.stack([line.repeat(cells), line.repeat_interleave(cells)], 1)",
        "torch.stack([line.repeat_interleave(cells), line.repeat(cells)], 1)",
        PICTURES,
    ),
)
