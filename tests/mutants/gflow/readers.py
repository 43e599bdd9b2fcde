"""Mutants of `gflow/readers`, and of what environments make of files."""

TABLES = "tests/gflow/readers/test_readers_tables.py"
GRAPHS = "tests/gflow/readers/test_readers_graphs.py"
ALIGNED = "tests/gflow/readers/test_readers_alignments.py"
DAGS = "tests/envs/dags/test_dag_data.py"

MUTANTS = (
    (
        "read-header-row", "gflow/readers/tables.py",
        "body, lines = rows.cells[header:], rows.lines[header:]",
        "body, lines = rows.cells[1:], rows.lines[1:]",
        f"{TABLES}::test_tables_that_are_read",
    ),
    (
        "read-lines-shifted", "gflow/readers/rows.py",
        "rows.append((before + 1,",
        "rows.append((before,",
        f"{TABLES}::test_faults_are_named_with_their_place",
    ),
    (
        "read-row-names", "gflow/readers/tables.py",
        '    return ["", *names]\n',
        '    return [*names, ""]\n',
        f"{TABLES}::test_tables_that_are_read",
    ),
    (
        "read-numbers-order", "gflow/readers/tables.py",
        "columns = [self._floats(name) for name in chosen]",
        "columns = [self._floats(name) for name in sorted(chosen)]",
        f"{TABLES}::test_numbers_come_back_in_every_dialect",
    ),
    (
        "read-comment-separator", "gflow/readers/rows.py",
        'sure = separator != " " or',
        "sure = True or",
        f"{TABLES}::test_tables_that_are_read",
    ),
    (
        "dag-edges-reversed", "envs/dags/data.py",
        "return first.index(cause), first.index(effect), True",
        "return 0, 1, True",
        f"{DAGS}::test_edges_in_every_form",
    ),
    (
        "dag-edges-matrix-transposed", "envs/dags/data.py",
        "adjacency = values[[order.index(name) for name in names]].bool()",
        "adjacency = values[[order.index(name) for name in names]].bool().T",
        f"{DAGS}::test_edges_in_every_form",
    ),
    (
        "dag-constant", "envs/dags/data.py",
        "constant = (x == x[0]).all(0)",
        "constant = x.std(0) == 0",
        f"{DAGS}::test_complaints",
    ),
    (
        "read-match-own-letter", "gflow/readers/phylip.py",
        'return "".join(first[i] if letter == match else letter',
        'return "".join(first[0] if letter == match else letter',
        f"{ALIGNED}::test_sequences_come_back_in_every_format",
    ),
    (
        "read-phylip-blocks", "gflow/readers/phylip.py",
        'whole = letters + "".join(rest[place::count])',
        'whole = letters + "".join(rest[place :: count - 1])',
        f"{ALIGNED}::test_alignments_that_are_read",
    ),
    (
        "read-nexus-gap", "gflow/readers/nexus.py",
        'signs = {options.get("gap", "-"): "-", options.get("missing", "?"): "?"}',
        'signs = {options.get("missing", "?"): "?"}',
        f"{ALIGNED}::test_sequences_come_back_in_every_format",
    ),
    (
        "read-graph-numbers", "gflow/readers/graphs.py",
        "(sorted(known) if nodes is None",
        "(sorted(known, key=str) if nodes is None",
        f"{GRAPHS}::test_graphs_that_are_read",
    ),
    (
        "read-graph-base", "gflow/readers/graphs.py",
        'low = 0 if nodes is not None and any("0" in edge.ends for edge in edges) else 1',
        "low = 1",
        f"{GRAPHS}::test_edges_come_back_in_every_format",
    ),
    (
        "read-graph-weights", "gflow/readers/graphs.py",
        "if float(edge.weight) != 1 and not ignore_weights:",
        "if float(edge.weight) > 1 and not ignore_weights:",
        f"{GRAPHS}::test_faults_are_named_with_their_place",
    ),
    (
        "read-pyg-direction", "gflow/readers/graph_objects.py",
        "if (v, u) not in forward:",
        "if (u, v) not in forward:",
        f"{GRAPHS}::test_pyg_graphs_that_are_not_plain",
    ),
    (
        "reward-truth", "gflow/rewards/values.py",
        "    return isinstance(value, bool | np.bool_)\n",
        "    return False\n",
        "tests/gflow/rewards/test_reward_values.py::"
        "test_what_is_no_number_is_refused_with_what_to_return",
    ),
    (
        "pickle-shape", "gflow/readers/pickled_arrays.py",
        'math.prod(shape) != len(values)',
        'math.prod(shape) < len(values)',
        "tests/gflow/readers/test_plain_pickle.py::test_crafted_pickles_are_refused_by_what_they_ask_for",
    ),
    (
        "pickle-compound", "gflow/readers/pickled_arrays.py",
        'compound != (None, None, None) or sizes',
        'sizes',
        "tests/gflow/readers/test_plain_pickle.py::test_crafted_pickles_are_refused_by_what_they_ask_for",
    ),
)  # fmt: skip
