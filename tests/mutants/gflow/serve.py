"""Mutants of `gflow/serve`, and of what says which process holds a run."""

ROUTES = "tests/gflow/serve/test_serve_routes.py::"

MUTANTS = (
    (
        "serve-header", "gflow/serve/guard.py",
        "        if request.method in WRITES:\n",
        "        if False:\n",
        ROUTES + "test_a_cookie_alone_changes_nothing",
    ),
    (
        "serve-host", "gflow/serve/guard.py",
        "not in NAMES:",
        "== '':",
        ROUTES + "test_other_names_and_other_pages_are_refused",
    ),
    (
        "serve-origin", "gflow/serve/guard.py",
        "        if origin is not None and",
        "        if origin is None and",
        ROUTES + "test_other_names_and_other_pages_are_refused",
    ),
    (
        "serve-dots", "gflow/serve/inside.py",
        'part in ("", ".", "..")',
        'part in ("", ".")',
        ROUTES + "test_names_are_refused_before_the_disk_is_asked",
    ),
    (
        "serve-links", "gflow/serve/inside.py",
        "        if not _within(root, path):\n",
        "        if False:\n",
        ROUTES + "test_links_out_of_the_folder",
    ),
    (
        "serve-once", "gflow/serve/control.py",
        "            self._asked.add(holder)\n",
        "",
        ROUTES + "test_stop_is_one_signal",
    ),
    (
        "serve-born", "gflow/runs/holder.py",
        "bool(self.born) and born(self.pid) == self.born",
        "bool(born(self.pid))",
        ROUTES + "test_a_number_given_to_another_process_is_not_signalled",
    ),
    (
        "serve-zombie", "gflow/runs/holder.py",
        'fields[0] in "ZXx"',
        "False",
        ROUTES + "test_a_process_that_is_over_but_not_collected_trains_nothing",
    ),
)  # fmt: skip
