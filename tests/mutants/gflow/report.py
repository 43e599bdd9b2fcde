"""Mutants of `gflow/report`, and of what runs leave for their pages."""

PAGE = "tests/gflow/report/test_report_page.py::"
TOLD = "tests/gflow/runs/test_told_of_a_run.py::"
DRAWN = "tests/gflow/runs/test_run_pictures.py::"
WORDS = "tests/gflow/tasks/test_command_words.py::"

MUTANTS = (
    (
        "pictures-untouched", "gflow/runs/drawing.py",
        "        trainer.generator.set_state(own)\n",
        "",
        TOLD + "test_pictures_in_between_change_nothing",
    ),
    (
        "report-extended", "gflow/report/folder.py",
        '> self.summary.get("step", -1)',
        '< 0',
        PAGE + "test_numbers_of_a_run_that_is_extended",
    ),
    (
        "report-markup", "gflow/report/html.py",
        'return f"<td>{escape(str(value))}</td>"',
        'return f"<td>{value}</td>"',
        PAGE + "test_what_a_cell_says_is_no_markup",
    ),
    (
        "report-exact-line", "gflow/report/chart.py",
        "        values.append(exact)\n",
        "        pass\n",
        PAGE + "test_points_of_a_chart_are_where_they_belong",
    ),
    (
        "report-room", "gflow/report/single.py",
        "        room -= size\n",
        "        room += size\n",
        PAGE + "test_pictures_fill_the_room_together",
    ),
    (
        "report-differing", "gflow/report/several.py",
        "for s in all_settings}) > 1]",
        "for s in all_settings}) > 0]",
        PAGE + "test_several_runs_stand_side_by_side",
    ),
    (
        "report-finite", "gflow/report/folder.py",
        "    return _is_number(value) and math.isfinite(value)",
        "    return _is_number(value)",
        PAGE + "test_exact_values_are_those_of_the_run",
    ),
    (
        "report-resumed", "gflow/runs/about.py",
        "[*steps, resumed_at]",
        "[resumed_at + 1]",
        TOLD + "test_where_it_was_resumed",
    ),
    (
        "report-exact-reward", "gflow/tasks/measure.py",
        '"mean_reward": float(wanted)',
        '"mean_reward": float(got)',
        TOLD + "test_exact_numbers",
    ),
    (
        "command-defaults", "gflow/tasks/command.py",
        "usual = {**USUAL, **cls.default_parts(vars(task))}",
        "usual = {**USUAL, **cls.default_parts({})}",
        WORDS + "test_words_say_the_same_settings[marginals --task digits]",
    ),
    (
        "objects-diverse", "gflow/runs/objects.py",
        "scores = torch.arange(len(rows), 0, -1)",
        "scores = torch.arange(len(rows))",
        "tests/envs/molecules/test_molecules_drawn.py::test_different_molecules_come_best_first",
    ),
    (
        "report-zero-of-a-sample", "gflow/report/folder.py",
        'DISTANCES if known and "tv" in self.metrics else ()',
        "DISTANCES if known else ()",
        PAGE + "test_a_histogram_is_not_said_to_be_exact",
    ),
    (
        "pictures-information", "envs/sequences/draw.py",
        "return probabilities * information(probabilities)[:, None]",
        "return probabilities",
        DRAWN + "test_letters_of_a_place_sum_to_its_information",
    ),
    (
        "pictures-blanks", "envs/sequences/draw.py",
        "symbols + 1)[..., :symbols]",
        "symbols + 1)[..., 1:]",
        DRAWN + "test_letters_of_a_place_sum_to_its_information",
    ),
    (
        "pictures-weights", "gflow/tasks/histogram.py",
        "weights[inside]) / weights.sum()",
        "weights[inside]) / weights[inside].sum()",
        DRAWN + "test_histograms_hold_all_weight",
    ),
    (
        "pictures-clades", "envs/phylogeny/draw.py",
        "in reversed(node.children)]",
        "in node.children]",
        DRAWN + "test_trees_are_drawn_with_clades_between_their_children",
    ),
    (
        "pictures-chosen", "envs/graphs/chosen.py",
        '((~chosen, "o", "white"), (chosen, "s", "black"))',
        '((chosen, "o", "white"), (~chosen, "s", "black"))',
        DRAWN + "test_chosen_nodes_are_marked_and_apart",
    ),
    (
        "pictures-captions", "gflow/report/single.py",
        'run.captions.get(name) or name.replace("_", " ")',
        'name.replace("_", " ")',
        DRAWN + "test_a_run_has_pictures_with_captions_and_shows_them",
    ),
    (
        "pictures-games", "gflow/tasks/shown.py",
        "graph is None or kind in GAMES or",
        "graph is None or",
        "tests/gflow/runs/test_every_picture.py::test_games_are_not_held_against_rewards",
    ),
    (
        "pictures-ranks", "envs/molecules/drawn.py",
        'f"{row + 1}.  {values[row]}',
        'f"{place + 1}.  {values[place]}',
        "tests/gflow/runs/test_every_picture.py::test_molecules_apart_are_the_best_of_their_kind",
    ),
    (
        "curves-logarithms", "gflow/report/chart.py",
        'startswith("log_") and "error" not in name',
        'startswith("log_") and False',
        PAGE + "test_scales_of_powers",
    ),
    (
        "sweep-lower-bars", "gflow/cli/sweep/picture.py",
        "xerr=[[spread], [spread]]",
        "xerr=[[min(spread, mean - min(s.values))], [spread]]",
        "tests/gflow/cli/test_sweep.py::test_the_picture_groups_by_what_was_swept",
    ),
)  # fmt: skip
