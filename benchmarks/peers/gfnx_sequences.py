"""Worker: trajectory balance on sequences with gfnx, by the recipe of its own TB baselines.

Its environments, rewards and sampler, and a loss over the batch just sampled, all iterations of a
block in one compiled loop. Its bit strings are filled in any order; those written from left to
right are put together here from its autoregressive base class and its reward. The perceptron is
ours: for words of 8 bits a sum of embeddings, with which an iteration takes 7 ms where the usual
matrix product with one-hot input takes 21. The transformer is its own encoder, read at the opening
token; it reads every prefix anew, for it is not causal.
"""

import contextlib
import itertools
import pickle
import tempfile
from pathlib import Path
from typing import Any

import equinox as eqx
import gfnx
import jax
import jax.numpy as jnp
import optax
from gfnx.environment.sequence import FixedAutoregressiveSequenceEnvironment
from gfnx.networks.transformer import Encoder
from jax import Array
from protocol import WIDTH
from sequence_case import (
    BETA,
    DEPTH,
    EXPONENT,
    FEATURES,
    HEADS,
    NUM_BITS,
    NUM_MODES,
    PEAK,
    RADIUS,
    SequenceCase,
    SequenceProgress,
    serve,
)


class TokenMLP(eqx.Module):
    """(1 + L,) tokens, of which the first says nothing, to the logits of all actions."""

    table: Array
    bias: Array
    hidden: eqx.nn.Linear
    head: eqx.nn.Linear
    blank: int = eqx.field(static=True)

    def __init__(self, case: SequenceCase, key: Array) -> None:
        self.blank = case.symbols
        first, second, third = jax.random.split(key, 3)
        rows = case.length * (case.symbols + 1)
        self.table = jax.random.normal(first, (rows, WIDTH)) / case.length**0.5
        self.bias = jnp.zeros(WIDTH)
        self.hidden = eqx.nn.Linear(WIDTH, WIDTH, key=second)
        head = eqx.nn.Linear(WIDTH, case.actions, key=third)
        self.head = jax.tree.map(lambda x: x * case.head_scale, head)

    def __call__(self, tokens: Array) -> Array:
        tokens = jnp.minimum(tokens[1:], self.blank)
        if self.blank > 16:  # whichever is faster
            rows = tokens + jnp.arange(len(tokens)) * (self.blank + 1)
            x = self.table[rows].sum(0)
        else:
            x = jax.nn.one_hot(tokens, self.blank + 1).flatten() @ self.table
        return self.head(jax.nn.relu(self.hidden(jax.nn.relu(x + self.bias))))


class Transformer(eqx.Module):
    """(1 + L,) tokens, the opening one first, to the logits of all actions."""

    encoder: Encoder
    head: eqx.nn.Linear

    def __init__(self, case: SequenceCase, pad: int, key: Array) -> None:
        first, second = jax.random.split(key)
        self.encoder = Encoder(
            vocab_size=case.symbols + 3,
            max_length=case.length + 1,
            embedding_size=FEATURES,
            hidden_size=FEATURES,
            intermediate_size=4 * FEATURES,
            num_layers=DEPTH,
            num_heads=HEADS,
            dropout_rate=0.0,
            pad_id=pad,
            key=first,
        )
        head = eqx.nn.Linear(FEATURES, case.actions, key=second)
        self.head = jax.tree.map(lambda x: x * case.head_scale, head)

    def __call__(self, tokens: Array) -> Array:
        read = self.encoder(tokens, jnp.arange(len(tokens)))["layers_out"][-1]
        return self.head(read[0])


class Gfnx:
    """gfnx's environment and sampler, compiled together with the update."""

    def __init__(self, case: SequenceCase) -> None:
        self.case = case
        self.env, self.env_params = environment(case)
        self.modes = jnp.array(case.modes, dtype=bool)
        key, network_key = jax.random.split(jax.random.PRNGKey(0))
        if case.network == "mlp":
            network = TokenMLP(case, network_key)
        else:
            network = Transformer(case, self.env.pad_token, network_key)
        weights, self.structure = eqx.partition(network, eqx.is_array)
        params = {"network": weights, "log_z": jnp.float32(case.first_log_z)}
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        rates = {"network": case.learning_rate, "log_z": case.log_z_learning_rate}
        self.optimizer = optax.multi_transform(
            {name: optax.adam(rate) for name, rate in rates.items()},
            {name: name for name in rates},
        )
        found = jnp.zeros(NUM_MODES, dtype=bool)
        self.state = (params, self.optimizer.init(params), key, found)
        self.loop = jax.jit(self._loop, donate_argnums=0)

    def train(self, iterations: int) -> SequenceProgress:
        """Sample, score and step, in one call of compiled code."""
        self.state, loss, length = jax.block_until_ready(self.loop(self.state, iterations))
        params, _, _, found = self.state
        looked = self.case.learn and self.case.task != "tfbind"
        return SequenceProgress(
            float(length) / iterations,
            float(loss),
            float(params["log_z"]),
            int(found.sum()) if looked else None,
        )

    def _loop(self, state: Any, iterations: int) -> Any:
        def step(_: int, carry: Any) -> Any:
            state, _, lengths = carry
            state, loss, length = self._step(state)
            return state, loss, lengths + length

        return jax.lax.fori_loop(0, iterations, step, (state, jnp.zeros(()), jnp.zeros(())))

    def _step(self, state: Any) -> Any:
        params, opt_state, key, found = state
        key, rollout_key = jax.random.split(key)
        network = params["network"]
        data, info = gfnx.utils.forward_rollout(
            rollout_key, self.case.batch, self._policy, network, self.env, self.env_params
        )
        loss, grads = jax.value_and_grad(self._loss)(params, data)
        updates, opt_state = self.optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        if self.case.learn and self.case.task != "tfbind":
            found |= self._near(data.state.tokens[:, -1])
        return (params, opt_state, key, found), loss, info["trajectory_length"].mean()

    def _near(self, words: Array) -> Array:
        bits = (words[..., None] >> jnp.arange(7, -1, -1) & 1).reshape(len(words), 1, -1)
        return ((bits != self.modes).sum(-1) <= RADIUS).any(0)

    def _logits(self, observations: Array, weights: Any) -> Array:
        """(N, 1 + L) tokens to (N, A)."""
        return jax.vmap(eqx.combine(weights, self.structure))(observations)

    def _policy(self, _: Array, observations: Array, weights: Any) -> tuple[Array, dict[str, Any]]:
        return self._logits(observations, weights), {}

    def _loss(self, params: Any, data: Any) -> Array:
        # The last of the T + 1 steps is padding: all sequences are equally long.
        before = jax.tree.map(lambda x: x[:, :-1].reshape(-1, *x.shape[2:]), data.state)
        after = jax.tree.map(lambda x: x[:, 1:].reshape(-1, *x.shape[2:]), data.state)
        observations = data.obs[:, :-1].reshape(-1, data.obs.shape[-1])
        logits = self._logits(observations, params["network"])
        invalid = self.env.get_invalid_mask(before, self.env_params)
        log_prob = jax.nn.log_softmax(gfnx.utils.mask_logits(logits, invalid))
        actions = data.action[:, :-1]
        log_pf = jnp.take_along_axis(log_prob, actions.reshape(-1, 1), axis=-1)
        parents = ~self.env.get_invalid_backward_mask(after, self.env_params)
        log_pb = -jnp.log(parents.sum(-1))
        forward, backward = (x.reshape(actions.shape).sum(1) for x in (log_pf, log_pb))
        log_reward = data.log_gfn_reward.sum(1)
        return optax.squared_error(params["log_z"] + forward, backward + log_reward).mean()


def environment(case: SequenceCase) -> tuple[Any, Any]:
    """An environment of gfnx and its parameters, with the rewards of the case."""
    if case.task == "tfbind":
        env = gfnx.TFBind8Environment(
            gfnx.TFBind8RewardModule(reward_exponent=EXPONENT, reward_scale=PEAK)
        )
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            # Where its reward looks for the table, and in the format that it reads.
            path = Path("proxy/weights/tfbind/tfbind8-exact-v0-all.pkl")
            path.parent.mkdir(parents=True)
            words = list(itertools.product(range(4), repeat=8))
            path.write_bytes(pickle.dumps({"x": words, "y": [[y] for y in case.values]}))
            return env, env.init(jax.random.PRNGKey(0))
    reward = gfnx.BitseqRewardModule(NUM_BITS, 8, NUM_MODES, BETA * NUM_BITS)
    if case.task == "bits-any":
        env = gfnx.BitseqEnvironment(reward, NUM_BITS, 8)
    else:
        env = FixedAutoregressiveSequenceEnvironment(
            reward, case.length, 256, 259, bos_token=257, eos_token=258, pad_token=256
        )
    params = env.init(jax.random.PRNGKey(0))
    return env, params.replace(reward_params={"mode_set": jnp.array(case.modes, dtype=bool)})


if __name__ == "__main__":
    serve(Gfnx, ["gfnx", "jax", "equinox", "optax"])
