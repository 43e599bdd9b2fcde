"""Mutants of `gflow/metrics`."""

TRANSPORT = "tests/gflow/metrics/test_transport_metrics.py"
COVERAGE = "tests/gflow/metrics/test_coverage_metrics.py"
REFUSALS = "tests/gflow/metrics/test_metric_refusals.py"
SAMPLES = "tests/gflow/metrics/test_samples.py"

MUTANTS = (
    (
        "mo-hypervolume-order", "gflow/metrics/multiobjective.py",
        "x, order = points[:, 0].sort(descending=True)",
        "x, order = points[:, 0].sort()",
        "tests/gflow/metrics/test_multiobjective.py::test_golden_fronts_of_two_landscapes",
    ),
    (
        "mo-igd-side", "gflow/metrics/multiobjective.py",
        "return _nearest(front, scores, lambda p, u: (p - u).clamp(min=0)).mean()",
        "return _nearest(front, scores, lambda p, u: (u - p).clamp(min=0)).mean()",
        "tests/gflow/metrics/test_multiobjective.py::test_distances_are_those_of_the_definition",
    ),
    (
        "transport-shift", "gflow/metrics/transport.py",
        "(best + shift.cpu()).sqrt()",
        "best.sqrt()",
        f"{TRANSPORT}::test_w2_is_the_best_of_all_pairings",
    ),
    (
        "transport-diagonal", "gflow/metrics/transport.py",
        "/ (count * (count - 1))",
        "/ count**2",
        f"{TRANSPORT}::test_mmd_is_unbiased_in_closed_form",
    ),
    (
        "coverage-forward-ess", "gflow/metrics/bounds.py",
        "(3 * count -",
        "(2 * count -",
        f"{COVERAGE}::test_forward_ess_is_at_most_the_number_and_does_not_read_z",
    ),
    (
        "coverage-open-end", "gflow/metrics/continuous.py",
        "torch.where(points == end, place - 1, place)",
        "place",
        f"{COVERAGE}::test_histogram_jsd_of_known_cells",
    ),
    (
        "coverage-flat", "gflow/metrics/continuous.py",
        "gap.cos() - 1 if kernel",
        "-gap.square() / 2 if kernel",
        f"{COVERAGE}::test_only_the_wrapped_kernel_closes_the_circle",
    ),
    (
        "sinkhorn-no-entropic-cost", "gflow/metrics/transport.py",
        "                return f.mean() + g.mean()\n",
        "                return 0 * f.mean()\n",
        f"{TRANSPORT}::test_sinkhorn_of_two_points_and_two_is_the_formula",
    ),
    (
        "sinkhorn-not-debiased", "gflow/metrics/transport.py",
        "- own / 2 + shift",
        "+ shift",
        f"{TRANSPORT}::test_sinkhorn_of_two_points_and_two_is_the_formula",
    ),
    (
        "sinkhorn-blur", "gflow/metrics/transport.py",
        "limits = (2 * blur**2,",
        "limits = (blur**2,",
        f"{TRANSPORT}::test_sinkhorn_of_two_points_and_two_is_the_formula",
    ),
    (
        "mmd-bandwidth-squared", "gflow/metrics/transport.py",
        "float(within[i, j].median()) ** 0.5",
        "float(within[i, j].median())",
        f"{TRANSPORT}::test_the_bandwidth_is_the_median_distance_within_y",
    ),
    (
        "mmd-bandwidth-with-itself", "gflow/metrics/transport.py",
        "float(within[i, j].median()) ** 0.5",
        "float(within.median()) ** 0.5",
        f"{TRANSPORT}::test_the_bandwidth_is_the_median_distance_within_y",
    ),
    (
        "mmd-kernel-width", "gflow/metrics/transport.py",
        "(-squared / (2 * bandwidth**2)).exp()",
        "(-squared / bandwidth**2).exp()",
        f"{TRANSPORT}::test_the_bandwidth_is_the_median_distance_within_y",
    ),
    (
        "modes-with-nan", "gflow/metrics/samples.py",
        '    check_numbers("greedy_modes", neg_inf=True, scores=scores)\n',
        "",
        f"{REFUSALS}::test_nan_is_refused_by_name_and_with_a_remedy[greedy_modes-0]",
    ),
    (
        "front-with-nan", "gflow/memory/pareto.py",
        '    check_numbers("non_dominated", neg_inf=True, pos_inf=True, scores=scores)\n',
        "",
        f"{REFUSALS}::test_nan_is_refused_by_name_and_with_a_remedy[non_dominated-0]",
    ),
    (
        "numbers-infinite", "gflow/checks.py",
        "        if not pos_inf:\n",
        "        if pos_inf:\n",
        f"{REFUSALS}::test_infinity_is_refused_where_it_has_no_place[mmd-0]",
    ),
    (
        "numbers-unchecked", "gflow/checks.py",
        "if reason is not None:\n                where",
        "if reason is None and False:\n                where",
        f"{REFUSALS}::test_numbers_out_of_range_are_refused[radius=0]",
    ),
    (
        "orthants-above", "gflow/metrics/samples.py",
        "upper = (2 * states > side - 1).long()",
        "upper = (2 * states > side).long()",
        f"{SAMPLES}::test_orthants_begin_above_the_middle",
    ),
    (
        "histogram-half-inside", "gflow/metrics/continuous.py",
        "inside = ((place >= 0) & (place < cells)).all(-1)",
        "inside = ((place >= 0) & (place < cells)).any(-1)",
        f"{COVERAGE}::test_histogram_jsd_counts_what_lies_outside",
    ),
)  # fmt: skip
