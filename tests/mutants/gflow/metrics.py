"""Mutants of `gflow/metrics`."""

TRANSPORT = "tests/gflow/metrics/test_transport_metrics.py"
COVERAGE = "tests/gflow/metrics/test_coverage_metrics.py"

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
)  # fmt: skip
