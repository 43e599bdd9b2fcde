"""Mutants of `envs/molecules`."""

MOLECULES = "tests/envs/molecules/test_molecules_objectives.py"

SOLE = "tests/envs/molecules/test_sole.py"
SEH = "tests/envs/molecules/test_seh_proxy.py"

FILES = "tests/envs/molecules/test_molecules_vocabulary.py"
WISHES = "tests/envs/molecules/test_molecules_wishes.py"
CORE = "tests/envs/molecules/test_molecules_core.py"

GUACAMOL = "tests/envs/molecules/test_guacamol.py"
GROUPS = "tests/envs/atoms/test_atom_groups.py"

SURROGATE = "tests/envs/molecules/test_surrogate.py"

MUTANTS = (
    (
        "surrogate-shy", "envs/molecules/surrogate.py",
        "(mean + self.kappa * std)",
        "(mean - self.kappa * std)",
        f"{SURROGATE}::test_log_rewards_follow_the_fit",
    ),
    (
        "surrogate-version", "envs/molecules/surrogate.py",
        "self.version += 1",
        "self.version += 0",
        f"{SURROGATE}::test_log_rewards_follow_the_fit",
    ),
    (
        "surrogate-either", "envs/molecules/surrogate.py",
        "+ other.sum(1)[None] - shared",
        "+ other.sum(1)[None] + shared",
        f"{SURROGATE}::test_similarities_are_those_of_rdkit",
    ),
    (
        "oracle-cut-line", "envs/molecules/oracle.py",
        "file.truncate(len(whole) + 1)",
        "file.truncate(len(whole))",
        f"{SURROGATE}::test_what_was_found_before_a_failure_is_kept",
    ),
    (
        "active-docking-sign", "examples/active_docking.py",
        "max(-energy, 0.0)",
        "max(energy, 0.0)",
        "tests/test_active_docking.py::test_lower_energies_are_larger_scores",
    ),
    (
        "active-docking-once", "examples/active_docking.py",
        'if self.method == "active" or not self.reward.fitted:',
        "if not self.reward.fitted:",
        "tests/test_active_docking.py::test_a_second_start_goes_on",
    ),
    (
        "guacamol-hydrogens", "envs/molecules/guacamol/parts.py",
        'found["H"] += sum(',
        'found["H"] -= sum(',
        f"{GUACAMOL}::test_isomers_are_counted_with_their_hydrogens",
    ),
    (
        "guacamol-side", "envs/molecules/guacamol/shapes.py",
        "return super().__call__(max(value, self.mean))",
        "return super().__call__(min(value, self.mean))",
        f"{GUACAMOL}::test_parts",
    ),
    (
        "guacamol-counts", "envs/molecules/guacamol/parts.py",
        "maxDistance=10, countSimulation=False",
        "maxDistance=9, countSimulation=False",
        f"{GUACAMOL}::test_values_are_those_of_the_published_suite[mestranol_similarity]",
    ),
    (
        "guacamol-mean", "envs/molecules/guacamol/parts.py",
        "product ** (1.0 / len(scores))",
        "product",
        f"{GUACAMOL}::test_values_are_those_of_the_published_suite[zaleplon_mpo]",
    ),
    (
        "fragments-atoms-once", "envs/molecules/fragments.py",
        "for chosen in itertools.combinations(sorted(atoms), count):",
        "for chosen in itertools.combinations(sorted(set(atoms)), count):",
        f"{FILES}::test_fragments_of_a_file_are_taken_as_they_are",
    ),
    (
        "fragments-blocks-apart", "gflow/readers/fragments.py",
        "blocks[block.smiles] = Block(known.place, known.smiles, known.atoms + more)",
        "pass",
        f"{FILES}::test_fragments_of_a_file_are_taken_as_they_are",
    ),
    (
        "molecules-symmetry", "envs/molecules/env.py",
        "return self.canonical(states).log_overcount()",
        "return -self.canonical(states).log_overcount()",
        f"{MOLECULES}::test_sampled_molecules_have_the_exact_law",
    ),
    (
        "docking-maps-of-all", "envs/molecules/docking.py",
        "@lru_cache(maxsize=4)",
        "@lru_cache(maxsize=None)",
        "tests/envs/molecules/test_docking.py::test_maps_of_many_receptors_are_not_kept",
    ),
    (
        "docking-box", "envs/molecules/docking.py",
        "max(abs(x - c) - s / 2, 0.0)",
        "max(abs(x - c) - s, 0.0)",
        "tests/envs/molecules/test_docking.py::test_bad_receptors",
    ),
    (
        "molecules-detach", "envs/molecules/env.py",
        "kept = (index + (index >= gone)).clamp(max=n - 1)",
        "kept = (index + (index > gone)).clamp(max=n - 1)",
        f"{MOLECULES}::test_objectives_vanish_on_the_exact_flows",
    ),
    (
        "goal-weight-zero", "envs/molecules/goal.py",
        "all(0 < weight < math.inf for",
        "all(0 <= weight < math.inf for",
        "tests/envs/molecules/test_molecules_rewards.py::test_combinations",
    ),
    (
        "sole-one-way", "envs/molecules/sole.py",
        "self.inner |= {(codes[i], codes[j]), (codes[j], codes[i])}",
        "self.inner |= {(codes[i], codes[j])}",
        f"{SOLE}::test_records_count_all_assemblies",
    ),
    (
        "sole-limit", "envs/molecules/sole.py",
        "least - smallest + other > self.limit",
        "least - smallest + other >= self.limit",
        f"{SOLE}::test_records_count_all_assemblies",
    ),
    (
        "sole-other-parts", "envs/molecules/sole.py",
        "least - smallest + other > self.limit",
        "least + other > self.limit",
        f"{SOLE}::test_records_count_all_assemblies",
    ),
    (
        "sole-any-label", "envs/molecules/sole.py",
        "self.decomposer.meets[pair] |= ANY in pair",
        "self.decomposer.meets[pair] &= ANY not in pair",
        f"{SOLE}::test_never_the_only_one_of_several",
    ),
    (
        "sole-rings", "envs/molecules/sole.py",
        "bond.GetBondType() == single and not bond.IsInRing()",
        "bond.GetBondType() == single and bond.IsInRing()",
        f"{SOLE}::test_records_count_all_assemblies",
    ),
    (
        "qed-rotatable", "envs/molecules/druglikeness.py",
        "counts.NumRotatableBondsOptions.Strict",
        "counts.NumRotatableBondsOptions.NonStrict",
        "tests/envs/molecules/test_druglikeness.py::test_the_same_to_the_last_bit",
    ),
    (
        "seh-routes", "envs/molecules/proxy.py",
        "(place + shift[kind])[order]",
        "(place + shift[kind])",
        f"{SEH}::test_agrees_with_the_long_way",
    ),
    (
        "seh-cell", "envs/molecules/proxy.py",
        "torch.addcmul(fresh, keep, x - fresh)",
        "torch.addcmul(x, keep, fresh - x)",
        f"{SEH}::test_agrees_with_the_long_way",
    ),
    (
        "molecules-trimmed", "envs/molecules/symmetry.py",
        "places = places[:, : int(tables.order[fragment].max())]",
        "places = places[:, : int(tables.order[fragment].min())]",
        "tests/envs/molecules/test_molecules_exact.py::test_ratio_of_multiplicities",
    ),
    (
        "molecules-among", "envs/molecules/layout.py",
        "self.begin = many.cumsum(0) - many",
        "self.begin = many.cumsum(0)",
        "tests/envs/molecules/test_molecules_policy.py::test_both_layouts_compute_the_same",
    ),
    (
        "seh-kinds", "envs/molecules/proxy.py",
        "[4, 4, 0, 3, 1, 1, 2]",
        "[4, 4, 0, 1, 3, 1, 2]",
        f"{SEH}::test_agrees_with_the_long_way",
    ),
    (
        "goal-one-by-one", "envs/molecules/goal.py",
        "many(molecules) if many else map(wanted, molecules)",
        "map(wanted, molecules)",
        f"{SEH}::test_goals_ask_for_all_molecules_at_once",
    ),
    (
        "wishes-factors-forgotten", "envs/molecules/scoring.py",
        "Record(text, goal.value(row) * factor, row, m, factor)",
        "Record(text, goal.value(row), row, m, factor)",
        f"{WISHES}::test_the_law_with_factors_is_exact",
    ),
    (
        "wishes-scores-without-factors", "envs/molecules/rewards.py",
        "[y * record.factor for y in record.properties]",
        "list(record.properties)",
        f"{WISHES}::test_scores_that_are_kept_apart_have_the_factors_too",
    ),
    (
        "wishes-own-reward-without-beta", "envs/molecules/wishes.py",
        "self.env.beta * math.log(record.factor)",
        "math.log(record.factor)",
        f"{WISHES}::test_a_reward_of_ones_own_has_the_factors_too",
    ),
    (
        "wishes-parts-of-some-neighbours", "envs/molecules/forbidden.py",
        'NEIGHBOURS = ("C", "N", "S", "F")',
        'NEIGHBOURS = ("C",)',
        f"{WISHES}::test_parts_inside_fragments",
    ),
    (
        "wishes-parts-on-ports", "envs/molecules/forbidden.py",
        "if not any(set(match).isdisjoint(ports) for match in found):",
        "if not found:",
        f"{WISHES}::test_parts_inside_fragments",
    ),
    (
        "core-may-be-removed", "envs/molecules/env.py",
        "return node & (filled == 1) & (states.fragment != len(self.vocabulary))",
        "return node & (filled == 1)",
        f"{CORE}::test_the_contract_and_the_objectives",
    ),
    (
        "core-may-be-added", "envs/molecules/env.py",
        "return replace(tables, allowed=tables.allowed & ~is_core)",
        "return tables",
        f"{CORE}::test_it_starts_from_the_core_and_never_loses_it",
    ),
    (
        "core-counted-several-times", "envs/molecules/decompose.py",
        "if a.fragments.count(self.core) == 1]",
        "if a.fragments.count(self.core) >= 1]",
        f"{CORE}::test_the_law_over_molecules_is_exact",
    ),
    (
        "core-or-fragment-not-both", "envs/molecules/decompose.py",
        "out += [(*match, cuts) for match in matches]",
        "out += [(*match, cuts) for match in matches[:1]]",
        f"{CORE}::test_the_law_over_molecules_is_exact",
    ),
    (
        "core-places-alike", "envs/molecules/assembly.py",
        'own = "1" if core in (assembly.fragments[i], assembly.fragments[j]) else ""',
        'own = ""',
        f"{CORE}::test_a_core_that_is_a_fragment_too_may_stand_in_several_places",
    ),
    (
        "core-bonds-to-its-like-alone", "envs/molecules/core.py",
        "labels = [any_of_them if own == (ANY_LABEL,) else own for own in core.labels]",
        "labels = list(core.labels)",
        f"{CORE}::test_cores_without_labels_bond_to_labelled_fragments",
    ),
    (
        "atoms-groups-of-other-valence", "envs/atoms/chemistry.py",
        "if bonds + atom.GetTotalNumHs() != whole:",
        "if bonds + atom.GetTotalNumHs() < 0:",
        f"{GROUPS}::test_every_molecule_with_groups_is_one_state",
    ),
    (
        "atoms-groups-share-what-hangs", "envs/atoms/chemistry.py",
        "return [free.get(kind, []).pop() for kind in wanted]",
        "return [free.get(kind, [])[-1] for kind in wanted]",
        f"{GROUPS}::test_every_molecule_with_groups_is_one_state",
    ),
    (
        "atoms-nitro-in-two-ways", "envs/atoms/env.py",
        'if "NO2" in kinds and set(NITRO) <= set(kinds):',
        'if "NO2" in kinds and set(NITRO) < set():',
        f"{GROUPS}::test_nitro_is_built_of_charged_atoms_too",
    ),
    (
        "atoms-groups-weigh-one", "envs/atoms/task.py",
        "heavy = torch.tensor([0, *(heavy_atoms(kind) for kind in env.kinds)])",
        "heavy = torch.tensor([0, *(1 for kind in env.kinds)])",
        f"{GROUPS}::test_a_run_counts_the_heavy_atoms_of_groups",
    ),
    (
        "molecules-stereo-of-bonds", "envs/molecules/extras.py",
        "bond.GetBondDir() in marked for bond in molecule.GetBonds()",
        "False for bond in molecule.GetBonds()",
        f"{GROUPS}::test_stereo_is_refused_where_a_molecule_is_given",
    ),
    (
        "modes-at-the-threshold", "envs/molecules/modes.py",
        "if reward > self.reward and",
        "if reward >= self.reward and",
        "tests/envs/molecules/test_molecules_judged.py::test_modes_are_above_the_threshold_and_unlike_those_before",
    ),
    (
        "modes-as-alike-as-that", "envs/molecules/modes.py",
        ">= self.similarity:",
        "> self.similarity:",
        "tests/envs/molecules/test_molecules_judged.py::test_modes_are_above_the_threshold_and_unlike_those_before",
    ),
    (
        "modes-unlike-one-of-those-before", "envs/molecules/modes.py",
        "- both)).max())",
        "- both)).min())",
        "tests/envs/molecules/test_molecules_judged.py::test_what_was_seen_goes_on_after_a_checkpoint",
    ),
    (
        "modes-forget-prints", "envs/molecules/modes.py",
        "for text in self.modes:",
        "for text in ():",
        "tests/envs/molecules/test_molecules_judged.py::test_what_was_seen_goes_on_after_a_checkpoint",
    ),
    (
        "novel-are-the-known", "envs/molecules/judge.py",
        "sum(smiles not in self.known",
        "sum(smiles in self.known",
        "tests/envs/molecules/test_molecules_judged.py::test_what_is_known_is_told_whatever_its_spelling",
    ),
    (
        "modes-sizes-of-one", "envs/molecules/modes.py",
        "(len(bits) + self._sizes[: self.count] - both)",
        "(2 * len(bits) - both)",
        "tests/envs/molecules/test_molecules_judged.py::test_similarities_are_those_of_rdkit",
    ),
    (
        "novel-sample-is-the-known", "envs/molecules/judge.py",
        "sum(text not in known for text in different)",
        "sum(text in known for text in different)",
        "tests/envs/molecules/test_molecules_judged.py::test_how_new_a_sample_and_the_best_are",
    ),
    (
        "judge-sees-one-process", "envs/molecules/judge.py",
        "self._see(trainer.ranks.gather(said))",
        "self._see([said])",
        "tests/envs/molecules/test_molecules_judged.py::test_molecules_of_all_processes_are_seen_by_the_first",
    ),
    (
        "nearest-is-furthest", "envs/molecules/known.py",
        "= max(similar(",
        "= min(similar(",
        "tests/envs/molecules/test_molecules_judged.py::test_what_is_known_is_told_whatever_its_spelling",
    ),
    (
        "modes-of-properties-for-own-rewards", "envs/molecules/judge.py",
        "if rewards is not None:",
        "if rewards is None:",
        "tests/envs/molecules/test_molecules_judged.py::test_modes_of_a_reward_of_ones_own",
    ),
)  # fmt: skip
