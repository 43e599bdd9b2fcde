"""Mutants of `gflow/language`, and of the behaviour that draws texts from three sources."""

TOKENS = "tests/gflow/language/test_token_environment.py"
MODEL = "tests/gflow/language/test_language_model.py"
MEMORY = "tests/gflow/language/test_text_memory.py"
SOURCES = "tests/gflow/behaviours/test_text_sources.py"
CONTRACT = f"{TOKENS}::test_texts_keep_the_contract"
MASKS = f"{TOKENS}::test_masks_at_every_length"
TOOL = f"{TOKENS}::test_a_tool_writes_on_its_own_turn"
SAMPLED = f"{MODEL}::test_what_is_sampled_is_what_is_trained_on[ragged-gpt2]"
PREFIXES = f"{MODEL}::test_one_pass_scores_prefixes_as_each_by_itself"
SHELF = f"{MEMORY}::test_what_stays_is_the_better_of_what_is_near"
SEED = f"{MEMORY}::test_only_texts_that_can_be_written_are_taken_in"
DRAWS = f"{MEMORY}::test_draws_are_even_or_in_proportion_to_the_reward_of_now"
SHARES = f"{SOURCES}::test_sources_are_chosen_by_shares_for_whole_prompts"

MUTANTS = (
    (
        "text-stop-below-least", "gflow/language/env.py",
        "return own < self.max_length, own >= self.min_length, None",
        "return own < self.max_length, own >= self.min_length - 1, None",
        MASKS,
    ),
    (
        "text-token-past-end", "gflow/language/env.py",
        "return own < self.max_length, own >= self.min_length, None",
        "return own < self.max_length - 1, own >= self.min_length, None",
        MASKS,
    ),
    (
        "text-stop-is-a-token", "gflow/language/env.py",
        "legal[stop] = False",
        "legal[stop] = True",
        SAMPLED,
    ),
    (
        "text-illegal-written", "gflow/language/env.py",
        "mask = write[:, None] & self.legal.to(write.device)",
        "mask = write[:, None] & torch.ones_like(self.legal)",
        MASKS,
    ),
    (
        "text-tool-counts", "gflow/language/env.py",
        "own = own - states.by_tool.sum(-1)",
        "own = own - 0 * states.by_tool.sum(-1)",
        TOOL,
    ),
    (
        "text-tool-interrupted", "gflow/language/env.py",
        "return silent & (own < self.max_length), silent & (own >= self.min_length), says",
        "return own < self.max_length, own >= self.min_length, says * 0 - 1",
        TOOL,
    ),
    (
        "text-tool-says-it-twice", "gflow/language/env.py",
        "rest = nn.functional.pad(states.pending[:, 1:], (0, 1), value=self.blank)",
        "rest = states.pending",
        TOOL,
    ),
    (
        "text-tool-answers-itself", "gflow/language/env.py",
        "return Text(tokens, states.prompt, torch.where(says[:, None], rest, reply), by_tool)",
        "return Text(tokens, states.prompt, reply, by_tool)",
        TOOL,
    ),
    (
        "text-backstep-forgets-pending", "gflow/language/env.py",
        "again = torch.cat([dropped, states.pending[:, :-1]], 1)",
        "again = torch.cat([dropped, states.pending[:, 1:]], 1)",
        TOOL,
    ),
    (
        "text-backstep-keeps-asking", "gflow/language/env.py",
        "pending = torch.where(said, again, self.blank)",
        "pending = torch.where(said, again, states.pending)",
        TOOL,
    ),
    (
        "text-backstep-keeps-author", "gflow/language/env.py",
        "states.by_tool.scatter(1, last, False))",
        "states.by_tool)",
        TOOL,
    ),
    (
        "text-keys-without-prompts", "gflow/language/env.py",
        "code: Tensor = (digits * places).sum(-1) + self._radix**self.length * states.prompt",
        "code: Tensor = (digits * places).sum(-1) + 0 * states.prompt",
        f"{TOKENS}::test_conditions_call_prompts",
    ),
    (
        "prompts-padded-right", "gflow/language/prompts.py",
        "return tokens, place >= width - length[:, None]",
        "return tokens, place < length[:, None]",
        f"{TOKENS}::test_conditions_call_prompts",
    ),
    (
        "prompts-cut", "gflow/language/prompts.py",
        "width = int(length.max()) if len(length) else 1",
        "width = int(length.min()) if len(length) else 1",
        f"{TOKENS}::test_conditions_call_prompts",
    ),
    (
        "law-stop-before-least", "gflow/language/law.py",
        "may = torch.stack([self.write, self.stop], 1)",
        "may = torch.stack([self.write, self.stop | True], 1)",
        SAMPLED,
    ),
    (
        "law-free-stop-at-the-end", "gflow/language/law.py",
        "found = both.masked_fill(~(may | none), -torch.inf).logsumexp(1)",
        "found = both.logsumexp(1)",
        SAMPLED,
    ),
    (
        "law-tool-not-certain", "gflow/language/law.py",
        "return torch.where(told >= 0, torch.where(told == moves, 0.0, -torch.inf), found)",
        "return found",
        f"{MODEL}::test_replay_runs_the_tool_again",
    ),
    (
        "logit-without-bias", "gflow/language/projected.py",
        "return found if self.head.bias is None else found + _wide(self.head.bias[tokens])",
        "return found",
        f"{MODEL}::test_heads_may_have_a_bias",
    ),
    (
        "norm-without-shift", "gflow/language/projected.py",
        "return (_wide(self.head(features)) + shift).logsumexp(-1)",
        "return (_wide(self.head(features)) - shift).logsumexp(-1)",
        f"{PREFIXES}[legal]",
    ),
    (
        "adapters-on-in-rewards", "gflow/language/model.py",
        "            with self._switch():\n                yield",
        "            yield",
        f"{MODEL}::test_adapters_off_is_the_model_as_it_was",
    ),
    (
        "padding-moves-positions", "gflow/language/model.py",
        "position = (mask.long().cumsum(1) - 1)",
        "position = (torch.ones_like(mask).long().cumsum(1) - 1)",
        SAMPLED,
    ),
    (
        "padding-is-read", "gflow/language/model.py",
        "attention_mask=mask.long(),",
        "attention_mask=torch.ones_like(mask).long(),",
        SAMPLED,
    ),
    (
        "prompts-of-others", "gflow/language/model.py",
        "cache.batch_select_indices(place)",
        "cache.batch_select_indices(place.flip(0))",
        SAMPLED,
    ),
    (
        "cache-rows-not-dropped", "gflow/language/policy.py",
        "kept = torch.searchsorted(self.rows, rows)",
        "kept = torch.arange(len(rows))",
        SAMPLED,
    ),
    (
        "rollout-reads-the-token-before", "gflow/language/policy.py",
        "token = states.tokens[:, self.time - 1, None]",
        "token = states.tokens[:, max(self.time - 2, 0), None]",
        SAMPLED,
    ),
    (
        "features-one-late", "gflow/language/policy.py",
        "return self._outputs(read[row, time.clamp(max=width)], env, table=False)",
        "return self._outputs(read[row, (time + 1).clamp(max=width)], env, table=False)",
        SAMPLED,
    ),
    (
        "prefix-scores-one-late", "gflow/language/reference.py",
        "return ends + torch.nn.functional.pad(said.cumsum(1), (1, 0))",
        "return ends + torch.nn.functional.pad(said.cumsum(1), (0, 1))",
        f"{PREFIXES}[continuation]",
    ),
    (
        "penalty-turned", "gflow/language/reference.py",
        "masked_fill(~kept, -penalty)",
        "masked_fill(~kept, penalty)",
        f"{PREFIXES}[legal]",
    ),
    (
        "penalty-not-paid", "gflow/language/reference.py",
        "said = scores.chosen(rows[:, :-1], tokens) + added[tokens] - norm[:, :-1]",
        "said = scores.chosen(rows[:, :-1], tokens) - norm[:, :-1]",
        f"{PREFIXES}[legal]",
    ),
    (
        "suffix-cut", "gflow/language/reference.py",
        "there = time < (size + length)[:, None]",
        "there = time < (size + length - 1)[:, None]",
        f"{PREFIXES}[suffix]",
    ),
    (
        "temperature-not-divided-by", "gflow/language/prefixes.py",
        "return found[row, time.clamp(max=found.shape[1] - 1)] / self.temperature",
        "return found[row, time.clamp(max=found.shape[1] - 1)] * self.temperature",
        f"{MODEL}::test_scores_are_remembered_whatever_the_temperature",
    ),
    (
        "temperature-same-version", "gflow/language/prefixes.py",
        "            self._temperature = value\n            self.version += 1",
        "            self._temperature = value\n            self.version += 0",
        f"{MODEL}::test_scores_are_remembered_whatever_the_temperature",
    ),
    (
        "schedule-one-early", "gflow/language/schedule.py",
        "part = min(1.0, self.step / self.steps)",
        "part = min(1.0, (self.step + 1) / self.steps)",
        f"{MODEL}::test_schedules_set_the_temperature_and_are_resumed",
    ),
    (
        "edits-without-replacing", "gflow/language/edits.py",
        "step = row + differs",
        "step = row + 2 * differs",
        f"{MEMORY}::test_edit_distances_are_exact_up_to_the_band",
    ),
    (
        "edits-narrow", "gflow/language/edits.py",
        "inside = (place >= 0) & (place <= 2 * band)",
        "inside = (place > 0) & (place <= 2 * band)",
        f"{MEMORY}::test_edit_distances_are_exact_up_to_the_band",
    ),
    (
        "edits-first-column", "gflow/language/edits.py",
        "step[:, band - i] = i",
        "step[:, band - i] = i - 1",
        f"{MEMORY}::test_edit_distances_are_exact_up_to_the_band",
    ),
    (
        "memory-over-capacity", "gflow/language/nearness.py",
        "elif there.sum() == capacity:",
        "elif there.sum() == capacity + 1:",
        SHELF,
    ),
    (
        "memory-keeps-the-worse", "gflow/language/nearness.py",
        "if said[rivals].max() >= value:",
        "if said[rivals].min() >= value:",
        SHELF,
    ),
    (
        "memory-keeps-both", "gflow/language/nearness.py",
        "            there[rivals] = False\n",
        "",
        SHELF,
    ),
    (
        "memory-drops-the-best", "gflow/language/nearness.py",
        "worst = held[said[held].argmin()]",
        "worst = held[said[held].argmax()]",
        SHELF,
    ),
    (
        "memory-near-is-nearer", "gflow/language/nearness.py",
        "found[rows] = (distance == 0) | (distance < limit[rows])",
        "found[rows] = (distance == 0) | (distance <= limit[rows])",
        f"{MEMORY}::test_texts_at_the_tolerance_are_not_near",
    ),
    (
        "memory-holds-rewards", "gflow/language/memory.py",
        "prefixes = self.reward.prefixes_of(states).cpu()",
        "prefixes = self.reward.prefixes_of(states).cpu() / self.reward.temperature",
        SHELF,
    ),
    (
        "memory-mixes-prompts", "gflow/language/memory.py",
        "same = (mine[:, None] == mine).tril(-1)",
        "same = (mine[:, None] >= 0).tril(-1)",
        SHELF,
    ),
    (
        "memory-draws-cold", "gflow/language/memory.py",
        "log_reward = self._scores(shelf) / self.reward.temperature",
        "log_reward = self._scores(shelf)",
        f"{DRAWS}[reward]",
    ),
    (
        "memory-stays-stale", "gflow/language/memory.py",
        "stale = shelves[self._edition[shelves] != self.reward.edition]",
        "stale = shelves[self._edition[shelves] > self.reward.edition]",
        f"{MEMORY}::test_nothing_is_scored_again_until_the_reward_forgets",
    ),
    (
        "memory-scores-again", "gflow/language/memory.py",
        "self.reward.recall(self._state(prompt, tokens), self._prefixes[shelf, slot])",
        "self._state(prompt, tokens)",
        f"{MEMORY}::test_nothing_is_scored_again_until_the_reward_forgets",
    ),
    (
        "memory-loads-as-fresh", "gflow/language/memory.py",
        'self._edition[~state["fresh"]] = -1',
        'self._edition[~state["fresh"]] = self.reward.edition',
        f"{MEMORY}::test_it_is_saved_and_taken_back",
    ),
    (
        "memory-names-another-text", "gflow/language/memory.py",
        "self._written(texts[i : i + 1], prompts[i : i + 1], first + i)",
        "self._written(texts[i : i + 1], prompts[i : i + 1], first)",
        SEED,
    ),
    (
        "sources-per-text", "gflow/behaviours/sources.py",
        "told = prompt[:, None] if condition is None else condition.cpu()",
        "told = torch.arange(len(prompt))[:, None]",
        SHARES,
    ),
    (
        "sources-empty-memory", "gflow/behaviours/sources.py",
        "shares[empty, OLD] = 0.0",
        "shares[~empty, OLD] = 0.0",
        SHARES,
    ),
    (
        "sources-temperature-times", "gflow/behaviours/sources.py",
        "return logits / self.heat[rows, None].to(logits.dtype)",
        "return logits * self.heat[rows, None].to(logits.dtype)",
        f"{SOURCES}::test_each_row_is_divided_by_its_own_temperature[True]",
    ),
    (
        "sources-temperature-of-others", "gflow/behaviours/sources.py",
        "policy = Tempered(policy, heat[new].to(sampling.device))",
        "policy = Tempered(policy, torch.ones_like(heat[new]).to(sampling.device))",
        f"{SOURCES}::test_what_is_sampled_is_sampled_at_the_temperature_and_remembered",
    ),
    (
        "sources-forget", "gflow/behaviours/sources.py",
        "self.memory.load_state_dict(state[\"memory\"])",
        "self.memory.state_dict()",
        f"{SOURCES}::test_runs_resume_to_the_same_numbers",
    ),
    (
        "sources-remember-for-nobody", "gflow/behaviours/sources.py",
        "if self.shares[OLD]:",
        "if True:",
        f"{SOURCES}::test_what_is_sampled_is_sampled_at_the_temperature_and_remembered",
    ),
    (
        "whole-texts-without-their-end", "gflow/language/reference.py",
        "parts = zip(tokens.split(ROWS), length.split(ROWS), prompt.split(ROWS), strict=True)",
        "parts = zip(tokens.split(ROWS), (length - 1).split(ROWS), prompt.split(ROWS))",
        f"{PREFIXES}[suffix]",
    ),
    (
        "whole-texts-by-all-prefixes", "gflow/language/reference.py",
        "return torch.cat([self._joint(*part) for part in parts])",
        "return self.score(tokens, length, prompt).gather(1, length[:, None])[:, 0]",
        f"{PREFIXES}[suffix]",
    ),
    (
        "adapters-stay-frozen", "gflow/language/model.py",  # LM-4
        "            for parameter in asked:\n                parameter.requires_grad_(True)",
        "            for parameter in asked:\n                parameter.requires_grad_(False)",
        f"{MODEL}::test_it_learns_the_tempered_posterior",
    ),
)  # fmt: skip
