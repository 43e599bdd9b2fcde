"""A real network as a policy and as a reward: LM-4 to LM-8, LM-10."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Needs, Sampler, TrainConfig, Trainer, enumerate_states, evaluate
from gflow.conditions.temperature import Temperature
from gflow.errors import ConfigError, IncompatibleError
from gflow.language import (
    Constrained,
    HuggingFacePolicy,
    LanguageModel,
    LookupTool,
    Projected,
    Prompts,
    ReferenceLM,
    SuffixLM,
    TemperatureSchedule,
    TextReward,
    TokenEnvironment,
    token_log_probs,
)
from gflow.objectives import ModifiedSubTrajectoryBalance, TrajectoryBalance
from gflow.policies.chunked import Chunked
from gflow.state import take
from gflow.testing import all_trajectories
from gflow.trajectories import Trajectories

PROMPTS = Prompts([[1, 2, 3, 2], [4], [5, 1]])
STOP = 0


def small(rank: int = 4, scale: float = 0.0, kind: str = "gpt2", seed: int = 0) -> LanguageModel:
    """A model of 7 tokens from nothing; `scale` of its adapters' second factors."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    common: dict[str, Any] = {
        "vocab_size": 7, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.3,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any
        if kind == "gpt2":
            config: Any = GPT2Config(n_positions=32, n_embd=32, n_layer=2, n_head=2, **common)
            network = GPT2LMHeadModel(config)
        else:
            config = LlamaConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                tie_word_embeddings=True,
                **common,
            )
            network = LlamaForCausalLM(config)
        model = LanguageModel(network.to(torch.get_default_dtype()))
        if rank:
            model.adapt(rank)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.data.normal_(0.0, scale)
    return model


def writer(model: LanguageModel, length: int = 4, **settings: Any) -> TokenEnvironment:
    reward = ReferenceLM(model, settings.get("prompts", PROMPTS), STOP, 0.7)
    return TokenEnvironment(7, STOP, reward, length, **{"prompts": PROMPTS, **settings})


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def written(env: TokenEnvironment, policy: HuggingFacePolicy, count: int = 12, **how: Any) -> Any:
    condition = env.prompts.sampler()(count, seeded(5)) if env.condition_dim else None
    sampler = Sampler(env, **how)
    return sampler.forward(policy, count, condition=condition, generator=seeded(6))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_what_is_sampled_is_what_is_trained_on(kind: str, plan: Any) -> None:
    """LM-6: step by step with a memory, at once, padded left and right, alone without padding."""
    model = small(scale=0.3, kind=kind)
    env = writer(model, min_length=1)
    policy = HuggingFacePolicy(env, model)
    seen: list[tuple[Any, Tensor, Tensor]] = []
    begin = policy.begin

    def spied(*args: Any) -> Any:
        session: Any = begin(*args)

        def ask(states: Any, rows: Tensor) -> Tensor:
            found: Tensor = session(states, rows)
            seen.append((states, rows, found))
            return found

        return ask

    policy.begin = spied  # type: ignore[method-assign, assignment]
    batch = written(env, policy, plan=plan)
    assert len(set(batch.length.tolist())) > 1
    for time, (states, _, logits) in enumerate(seen):
        live = env.size(states) == time  # others have ended, and nobody reads what comes of them
        assert bool(live.any())
        with torch.no_grad():
            dense = policy(env, states).forward_logits
        torch.testing.assert_close(dense[live], logits[live])
    terms = evaluate(env, policy, batch, Needs(stop=True))
    assert terms.log_stop is not None
    for row in range(len(batch)):
        state, size = batch.states_at(0).prompt[row], int(batch.length[row])
        tokens = torch.cat([torch.tensor(PROMPTS.row(int(state))), batch.actions[row, : size - 1]])
        with torch.no_grad():
            logits = model.model(input_ids=tokens[None]).logits[0, -size:]
        for time in range(size):
            mask = torch.ones(7, dtype=torch.bool)
            mask[STOP] = time >= 1
            if time == 4:
                mask = torch.arange(7) == STOP
            law = logits[time].masked_fill(~mask, -torch.inf).log_softmax(0)
            assert float(terms.log_pf[row, time].detach()) == pytest.approx(
                float(law[batch.actions[row, time]]), abs=1e-5
            )
            assert float(terms.log_stop[row, time].detach()) == pytest.approx(
                float(law[STOP]), abs=1e-5
            )


def test_gradients_are_those_of_the_whole_table() -> None:
    model = small(scale=0.3)
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy)
    mine = ModifiedSubTrajectoryBalance().evaluate(env, policy, batch)
    ModifiedSubTrajectoryBalance()(mine).backward()
    found = {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}
    assert found
    assert all("lora" in name for name in found)
    policy.zero_grad()
    policy.of_trajectories = (  # type: ignore[method-assign]
        lambda env, trajectories, condition=None: policy(env, trajectories.states, condition)
    )
    ModifiedSubTrajectoryBalance()(
        ModifiedSubTrajectoryBalance().evaluate(env, policy, batch)
    ).backward()
    for name, value in policy.named_parameters():
        if name in found:
            torch.testing.assert_close(value.grad, found[name])


def test_heads_may_have_a_bias() -> None:
    generator = seeded(3)
    head = torch.nn.Linear(4, 6)
    for value in head.parameters():
        value.data.normal_(generator=generator)
    scores = Projected(torch.randn(5, 4, generator=generator), head)
    table = head(scores.features)
    rows, tokens = torch.arange(5), torch.tensor([0, 5, 2, 2, 1])
    torch.testing.assert_close(scores.chosen(rows, tokens), table[rows, tokens])
    shift = torch.randn(6, generator=generator)
    torch.testing.assert_close(scores.log_norm(shift), (table + shift).logsumexp(1))


def test_a_loss_costs_two_passes_and_makes_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """One over the distinct prompts and one over the texts; logits are made in parts."""
    import gflow.language.projected as projected

    model = small(scale=0.3)
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy)
    whole = evaluate(env, policy, batch).log_pf
    monkeypatch.setattr(projected, "PART", 7 * 5)
    sizes: list[int] = []
    head = model.head.forward

    def counted(features: Tensor) -> Tensor:
        sizes.append(len(features))
        found: Tensor = head(features)
        return found

    monkeypatch.setattr(model.head, "forward", counted)
    before = model.passes
    parts = evaluate(env, policy, batch).log_pf
    assert model.passes == before + 2
    assert max(sizes) == 5
    torch.testing.assert_close(parts, whole)
    parts.sum().backward()


@pytest.mark.parametrize("size", [7, 20])
def test_chunks_change_nothing(size: int) -> None:
    """Gradients are gathered over parts of the batch, and are those of the whole."""
    model = small(scale=0.3)
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy)
    objective, found = ModifiedSubTrajectoryBalance(), []
    for network in (policy, Chunked(policy, size)):
        policy.zero_grad()
        before = model.passes
        loss = objective(objective.evaluate(env, network, batch))
        assert (model.passes > before + 2) == (network is not policy)
        loss.backward()
        grads = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
        found.append((loss.detach(), grads))
    torch.testing.assert_close(found[0][0], found[1][0])
    for one, two in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, two)


def test_half_precision_is_near() -> None:
    """Adapters stay in single precision; log-probabilities are normalised in it."""
    torch.set_default_dtype(torch.float32)
    model, rough = small(scale=0.3), small(scale=0.3)
    rough.model.to(torch.bfloat16)
    for name, value in rough.named_parameters():
        if "lora" in name:
            value.data = value.data.float()
    env = writer(model)
    batch = written(env, HuggingFacePolicy(env, model))
    one, two = (
        evaluate(env, HuggingFacePolicy(env, m), batch, Needs(stop=True)) for m in (model, rough)
    )
    assert two.log_pf.dtype == torch.float32
    assert float((one.log_pf - two.log_pf).detach().abs().max()) < 0.15
    law = env.law(batch.states, HuggingFacePolicy(env, rough)(env, batch.states).forward_logits)
    torch.testing.assert_close(law.table().exp().sum(1), torch.ones(batch.num_states))


def test_checkpointing_changes_nothing() -> None:
    model = small(scale=0.3)
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy)
    terms = evaluate(env, policy, batch)
    terms.log_pf.sum().backward()
    grads = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
    policy.zero_grad()
    model.save_memory()
    calls: list[int] = []
    block = model.model.transformer.h[0].attn
    block.register_forward_pre_hook(lambda *_: calls.append(1))
    again = evaluate(env, policy, batch)
    torch.testing.assert_close(again.log_pf, terms.log_pf)
    assert len(calls) == 1
    again.log_pf.sum().backward()
    assert len(calls) == 2  # made anew
    for mine, value in zip(
        grads, [p.grad for p in policy.parameters() if p.grad is not None], strict=True
    ):
        torch.testing.assert_close(value, mine)


def test_adapters_off_is_the_model_as_it_was() -> None:
    """LM-8: bit for bit, and rewards stay while the policy learns."""
    bare, model = small(rank=0), small(rank=4, scale=0.5)
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    prompt = torch.tensor([0, 2])
    plain, _ = token_log_probs(bare, PROMPTS, prompt, tokens)
    mine, ends = token_log_probs(model, PROMPTS, prompt, tokens, STOP)
    assert torch.equal(plain, mine)
    adapted = model.read(PROMPTS, prompt, tokens)
    with model.reference():
        assert not torch.allclose(adapted, model.read(PROMPTS, prompt, tokens))
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    objective = ModifiedSubTrajectoryBalance()
    config = TrainConfig(steps=3, batch_size=8, lr=0.05)
    trainer = Trainer(env, policy, objective, config, condition=PROMPTS.sampler(4))
    trainer.train()
    again, still = token_log_probs(model, PROMPTS, prompt, tokens, STOP)
    assert torch.equal(again, mine)
    assert ends is not None
    assert still is not None
    assert torch.equal(still, ends)
    assert not torch.allclose(model.read(PROMPTS, prompt, tokens), adapted)


def test_no_texts_have_no_scores() -> None:
    """As when all trajectories of a batch were cut before their ends."""
    reward = TextReward(lambda texts: [t.count("1") for t in texts], str, 7)
    started = TokenEnvironment(7, STOP, reward, 4).start(3)
    assert reward(take(started, torch.zeros(0, dtype=torch.int64))).shape == (0,)


@pytest.mark.parametrize("kind", ["continuation", "legal", "suffix", "text", "sum"])
def test_one_pass_scores_prefixes_as_each_by_itself(kind: str) -> None:
    """LM-5."""
    model = small(scale=0.5)
    legal = torch.tensor([True, True, True, False, True, True, True])
    plain = ReferenceLM(model, PROMPTS, STOP, 0.5)
    vowels = TextReward(lambda texts: [t.count("1") for t in texts], str, 7, 0.5)
    reward = {
        "continuation": plain,
        "legal": ReferenceLM(model, PROMPTS, STOP, 0.5, legal, penalty=3.0),
        "suffix": SuffixLM(model, PROMPTS, [[1, 2], [3], [6, 6, 6]], 0.5),
        "text": vowels,
        "sum": Constrained(plain, vowels, temperature=0.5),
    }[kind]
    env = TokenEnvironment(7, STOP, reward, 4, prompts=PROMPTS)
    policy = HuggingFacePolicy(env, model)
    odd = torch.tensor([[3, 1, STOP]])  # which the policy hardly writes
    first = Sampler(env).along(odd, torch.tensor([3]), condition=torch.tensor([[1.0]]))
    batch = Trajectories.join([first, written(env, policy)])
    reward.forget()
    together = env.target_of_trajectories(batch)
    reward.forget()
    torch.testing.assert_close(env.target_log_reward(batch.states), together)
    reward.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SuffixLM, "score", None)  # whole texts alone cost it less
        ends = env.target_log_reward(batch.final_states)
    torch.testing.assert_close(ends, batch.log_reward)
    with model.reference():
        for row in range(min(8, batch.num_states)):
            size = int(env.size(batch.states)[row])
            tokens = batch.states.tokens[row, :size].tolist()
            number = int(batch.states.prompt[row])
            wanted = alone(kind, model, number, tokens)
            assert float(together[row]) == pytest.approx(wanted / 0.5, abs=1e-8)


def alone(kind: str, model: LanguageModel, number: int, tokens: list[int]) -> float:
    """The score of one text, by the model's own logits."""
    opened = PROMPTS.row(number)
    after = {"suffix": [[1, 2], [3], [6, 6, 6]][number], "text": []}.get(kind, [STOP])
    whole = torch.tensor([*opened, *tokens, *after])
    logits = model.model(input_ids=whole[None]).logits[0]
    if kind == "legal":
        logits[:, 3] -= 3.0
    said = logits.log_softmax(-1)[:-1].gather(1, whole[1:, None])[len(opened) - 1 :].sum()
    count = str(tokens).count("1")
    return {"text": float(count), "sum": float(said) + count}.get(kind, float(said))


def test_scores_are_remembered_whatever_the_temperature() -> None:
    """LM-9, in part: nothing is scored twice, and temperatures are divided by at use."""
    model = small()
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy)
    reward: Any = env.reward
    passes, version = model.passes, reward.version
    warm = env.target_of_trajectories(batch)
    reward.temperature = 0.35
    assert reward.version == version + 1
    torch.testing.assert_close(env.target_of_trajectories(batch), 2 * warm)
    assert model.passes == passes
    with pytest.raises(ConfigError, match="temperature"):
        reward.temperature = 0.0


def test_schedules_set_the_temperature_and_are_resumed() -> None:
    model = small()
    env = writer(model)
    reward: Any = env.reward
    schedule = TemperatureSchedule(reward, 2.0, 1.0, 4)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy)
    seen = []
    for _ in range(3):
        schedule.learn(env, policy, batch, seeded(0))
        seen.append(reward.temperature)
    state = schedule.state_dict()
    other = TemperatureSchedule(reward, 2.0, 1.0, 4)
    assert reward.temperature == 2.0
    other.load_state_dict(state)
    assert reward.temperature == seen[-1]
    for _ in range(4):
        other.learn(env, policy, batch, seeded(0))
        seen.append(reward.temperature)
    assert seen == [2.0, 1.75, 1.5, 1.25, 1.0, 1.0, 1.0]


def test_replay_runs_the_tool_again() -> None:
    """LM-10: what is repeated has the log-probabilities of what was sampled."""
    model = small(scale=0.3)
    env = writer(model, tool=LookupTool({2: 5}), min_length=1)
    policy = HuggingFacePolicy(env, model)
    batch = written(env, policy, 24)
    assert int(batch.final_states.by_tool.sum()) > 2
    again = Sampler(env).along(batch.actions, batch.length, condition=batch.condition)
    one, two = (evaluate(env, policy, b, Needs(stop=True)) for b in (batch, again))
    torch.testing.assert_close(one.log_pf, two.log_pf)
    assert one.log_stop is not None
    assert two.log_stop is not None
    torch.testing.assert_close(one.log_stop, two.log_stop)
    dense = env.law(
        batch.states, policy(env, batch.states, batch.condition_of_states).forward_logits
    )
    said = dense.log_prob(batch.actions, batch.state_index[:, :-1], batch.mask)
    torch.testing.assert_close(said, one.log_pf)


@pytest.mark.slow
def test_it_learns_the_tempered_posterior() -> None:
    """LM-4: every text of a tiny model, against its exact tempered law."""
    model = small(rank=8)
    prompts = Prompts([[1, 2]])
    env = writer(model, 3, prompts=prompts)
    policy = HuggingFacePolicy(env, model)
    graph = enumerate_states(env)
    exact = graph.exact_flows()
    config = TrainConfig(steps=300, batch_size=32, lr=5e-3, lr_half_life=60, epsilon=0.05)
    trainer = Trainer(env, policy, ModifiedSubTrajectoryBalance(), config)
    batch = all_trajectories(env)

    def distance() -> float:
        with torch.no_grad():
            found = evaluate(env, policy, batch).log_pf.sum(1).exp()
        return float((found - batch.log_reward.softmax(0)).abs().sum() / 2)

    before = distance()
    record = trainer.train()
    assert before > 0.25
    assert distance() < 0.05
    assert float(record["log_z"]) == pytest.approx(float(exact.log_z), abs=0.1)


def test_other_objectives_train_it_too() -> None:
    model = small()
    env = writer(model)
    policy = HuggingFacePolicy(env, model, log_flow=True)
    objective = TrajectoryBalance(condition_dim=1, condition_encoder=env.condition_encoder())
    config = TrainConfig(steps=2, batch_size=8)
    trainer = Trainer(env, policy, objective, config, condition=PROMPTS.sampler(2))
    assert len({trainer.train_step()["log_z"], trainer.train_step()["log_z"]}) == 2


def test_states_hold_what_is_trained() -> None:
    model = small(scale=0.3)
    env = writer(model)
    policy = HuggingFacePolicy(env, model)
    state = policy.state_dict()
    assert all("lora" in name for name in state)
    other = HuggingFacePolicy(env, small(scale=0.7))
    other.load_state_dict(state)
    batch = written(env, policy)
    torch.testing.assert_close(
        evaluate(env, other, batch).log_pf, evaluate(env, policy, batch).log_pf
    )
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        for name, value in twin.named_parameters():
            if "lora_B" in name:
                value.zero_()
    assert not torch.allclose(
        evaluate(env, twin, batch).log_pf, evaluate(env, policy, batch).log_pf
    )
    with twin.model.reference():
        off = twin.model.read(PROMPTS, torch.tensor([0]), torch.tensor([[1]]))
    torch.testing.assert_close(
        off, twin.model.read(PROMPTS, torch.tensor([0]), torch.tensor([[1]]))
    )


def test_wrong_models_are_refused(tmp_path: Any) -> None:
    model = small(rank=0)
    env = TokenEnvironment(9, STOP, ReferenceLM(model, PROMPTS, STOP), 2)
    with pytest.raises(IncompatibleError, match="7 tokens"):
        HuggingFacePolicy(env, model)
    told = Temperature().applied(writer(model, prompts=Prompts([[1]])))
    assert told.start(2, condition=torch.tensor([[0.5], [2.0]])).prompt.tolist() == [0, 0]
    with pytest.raises(IncompatibleError, match="reads its prompt and nothing else"):
        HuggingFacePolicy(told, model)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no causal language model"):
        LanguageModel.load(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="without a tokenizer"):
        model.encode("a")
    with pytest.raises(ConfigError, match="a suffix of at least one token for each of 3"):
        SuffixLM(model, PROMPTS, [[1]])


def test_models_are_saved_and_loaded(tmp_path: Any) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    model = small(rank=0)
    words = {word: i for i, word in enumerate(["<end>", "a", "b", "c", "d", "e", "f"])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<end>"))
    )
    tokenizer.save_pretrained(tmp_path)
    model.model.save_pretrained(tmp_path)
    loaded = LanguageModel.load(str(tmp_path), "float64")
    assert loaded.encode("b") == [2]
    assert loaded.decode([3]) == "c"
    prompt, tokens = torch.tensor([0]), torch.tensor([[1, 2]])
    torch.testing.assert_close(
        loaded.read(PROMPTS, prompt, tokens), model.read(PROMPTS, prompt, tokens)
    )
