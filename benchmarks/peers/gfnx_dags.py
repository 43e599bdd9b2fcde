"""Worker: modified detailed balance on graphs with gfnx.

Its environment, BGe score, delta score and sampler; the loss is the one of its DAG script without
target network and replay, over the transitions of the batch just sampled, in one compiled loop.
"""

from typing import Any

import equinox as eqx
import gfnx
import jax
import jax.numpy as jnp
import optax
from dag_case import STOP, DagCase, serve
from gfnx.reward.dag_likelihood import BGeScore
from gfnx.reward.dag_prior import UniformDAGPrior
from jax import Array
from protocol import Progress


class Gfnx:
    """gfnx's environment and sampler, compiled together with the update."""

    def __init__(self, case: DagCase) -> None:
        self.batch, self.stop = case.batch, case.variables**2
        score = BGeScore(jnp.array(case.data))
        self.reward = gfnx.DAGRewardModule(prior=UniformDAGPrior(case.variables), likelihood=score)
        self.env = gfnx.DAGEnvironment(self.reward, case.variables)
        key, env_key, network_key = jax.random.split(jax.random.PRNGKey(0), 3)
        self.env_params = self.env.init(env_key)
        pairs = case.variables**2
        network = eqx.nn.MLP(pairs, pairs + 1, case.width, depth=2, key=network_key)
        head = jax.tree.map(lambda x: x * case.head_scale, network.layers[-1])
        head = eqx.tree_at(lambda h: h.bias, head, head.bias.at[-1].add(STOP))
        network = eqx.tree_at(lambda n: n.layers[-1], network, head)
        weights, self.structure = eqx.partition(network, eqx.is_array)
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(weights))
        self.optimizer = optax.adam(case.learning_rate)
        self.state = (weights, self.optimizer.init(weights), key)
        self.loop = jax.jit(self._loop, donate_argnums=0)

    def train(self, iterations: int) -> Progress:
        """Sample, score and step, in one call of compiled code."""
        self.state, loss, length = jax.block_until_ready(self.loop(self.state, iterations))
        return Progress(float(length) / iterations, float(loss), 0.0)

    def _loop(self, state: Any, iterations: int) -> Any:
        def step(_: int, carry: Any) -> Any:
            state, _, lengths = carry
            state, loss, length = self._step(state)
            return state, loss, lengths + length

        return jax.lax.fori_loop(0, iterations, step, (state, jnp.zeros(()), jnp.zeros(())))

    def _step(self, state: Any) -> Any:
        weights, opt_state, key = state
        key, rollout_key = jax.random.split(key)
        data, info = gfnx.utils.forward_rollout(
            rollout_key, self.batch, self._policy, weights, self.env, self.env_params
        )
        loss, grads = jax.value_and_grad(self._loss)(weights, data)
        updates, opt_state = self.optimizer.update(grads, opt_state, weights)
        weights = optax.apply_updates(weights, updates)
        return (weights, opt_state, key), loss, info["trajectory_length"].mean()

    def _logits(self, observations: Array, weights: Any) -> Array:
        flat = observations.reshape(len(observations), -1).astype(jnp.float32)
        return jax.vmap(eqx.combine(weights, self.structure))(flat)

    def _policy(self, _: Array, observations: Array, weights: Any) -> tuple[Array, dict[str, Any]]:
        return self._logits(observations, weights), {}

    def _loss(self, weights: Any, data: Any) -> Array:
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (data.obs, data.state))
        invalid = self.env.get_invalid_mask(flat[1], self.env_params)
        masked = gfnx.utils.mask_logits(self._logits(flat[0], weights), invalid)
        log_prob = jax.nn.log_softmax(masked).reshape(*data.action.shape, -1)
        log_pf = jnp.take_along_axis(log_prob, data.action[..., None], axis=-1).squeeze(-1)[:, :-1]
        log_stop = log_prob[..., self.stop]

        before = jax.tree.map(lambda x: x[:, :-1].reshape(-1, *x.shape[2:]), data.state)
        after = jax.tree.map(lambda x: x[:, 1:].reshape(-1, *x.shape[2:]), data.state)
        actions = data.action[:, :-1]
        moves = (actions != self.stop) & ~data.pad[:, :-1]
        safe = jnp.where(moves, actions, 0).reshape(-1)
        delta = self.reward.delta_score(before, safe, after, self.env_params).reshape(moves.shape)
        edges = data.state.adjacency_matrix[:, 1:].sum((2, 3))
        log_pb = -jnp.log(jnp.maximum(edges, 1))
        residual = delta + log_pb - log_pf + log_stop[:, :-1] - log_stop[:, 1:]
        return jnp.where(moves, residual**2, 0.0).sum() / moves.sum()


if __name__ == "__main__":
    serve(Gfnx, ["gfnx", "jax", "equinox", "optax"])
