"""Worker: trajectory balance on a hypergrid with gfnx, by the recipe of its own TB baseline.

gfnx ships environments, rewards and a sampler; its losses live in scripts. The loop here does what
its hypergrid script does, less metrics and logging: equinox's MLP under `vmap`, gfnx's sampler over
the full horizon, a second pass over all states in the loss, optax's Adam, all in one compiled loop.
"""

from typing import Any

import equinox as eqx
import gfnx
import jax
import jax.numpy as jnp
import optax
from jax import Array
from protocol import R0, R1, R2, WIDTH, Case, Progress, serve


class Gfnx:
    """gfnx's environment and sampler, compiled together with the update."""

    def __init__(self, case: Case) -> None:
        self.batch = case.batch
        reward = gfnx.GeneralHypergridRewardModule(R0, R1, R2)
        self.env = gfnx.HypergridEnvironment(reward, dim=case.dim, side=case.side)
        key, env_key, network_key = jax.random.split(jax.random.PRNGKey(0), 3)
        self.env_params = self.env.init(env_key)

        inputs, outputs = case.dim * case.side, 2 * case.dim + 1
        network = eqx.nn.MLP(inputs, outputs, WIDTH, depth=2, key=network_key)
        head = jax.tree.map(lambda x: x * case.head_scale, network.layers[-1])
        head = eqx.tree_at(lambda h: h.bias, head, head.bias.at[case.dim].add(case.stop_bias))
        network = eqx.tree_at(lambda n: n.layers[-1], network, head)

        weights, self.structure = eqx.partition(network, eqx.is_array)
        params = {"network": weights, "log_z": jnp.zeros(())}
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        rates = {"network": case.learning_rate, "log_z": case.log_z_learning_rate}
        self.optimizer = optax.multi_transform(
            {name: optax.adam(rate) for name, rate in rates.items()},
            {name: name for name in rates},
        )
        self.state = (params, self.optimizer.init(params), key)
        # The number of iterations is an argument, so one compilation serves every block.
        self.loop = jax.jit(self._loop, donate_argnums=0)

    def train(self, iterations: int) -> Progress:
        """Sample, score and step, in one call of compiled code."""
        self.state, loss, length = jax.block_until_ready(self.loop(self.state, iterations))
        return Progress(float(length) / iterations, float(loss), float(self.state[0]["log_z"]))

    def _loop(self, state: Any, iterations: int) -> Any:
        def step(_: int, carry: Any) -> Any:
            state, _, lengths = carry
            state, loss, length = self._step(state)
            return state, loss, lengths + length

        return jax.lax.fori_loop(0, iterations, step, (state, jnp.zeros(()), jnp.zeros(())))

    def _step(self, state: Any) -> Any:
        params, opt_state, key = state
        key, rollout_key = jax.random.split(key)
        data, info = gfnx.utils.forward_rollout(
            rollout_key, self.batch, self._policy, params["network"], self.env, self.env_params
        )
        loss, grads = jax.value_and_grad(self._loss)(params, data)
        updates, opt_state = self.optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (params, opt_state, key), loss, info["trajectory_length"].mean()

    def _policy(self, _: Array, observations: Array, weights: Any) -> tuple[Array, dict[str, Any]]:
        logits = jax.vmap(eqx.combine(weights, self.structure))(observations)
        forward, backward = self._heads(logits)
        return forward, {"forward_logits": forward, "backward_logits": backward}

    def _loss(self, params: Any, data: Any) -> Array:
        network = eqx.combine(params["network"], self.structure)
        forward, backward = self._heads(jax.vmap(jax.vmap(network))(data.obs))

        # data is (B, T, ...), and the environment's functions take a single batch axis.
        over_time = {"in_axes": (1, None), "out_axes": 1}
        invalid = jax.vmap(self.env.get_invalid_mask, **over_time)(data.state, self.env_params)
        log_pf = log_prob(forward, invalid, data.action)
        log_pf = jnp.where(data.pad, 0.0, log_pf).sum(1)

        before = jax.tree.map(lambda x: x[:, :-1], data.state)
        after = jax.tree.map(lambda x: x[:, 1:], data.state)
        invalid = jax.vmap(self.env.get_invalid_backward_mask, **over_time)(after, self.env_params)
        inverse = jax.vmap(self.env.get_backward_action, in_axes=(1, 1, 1, None), out_axes=1)
        actions = inverse(before, data.action[:, :-1], after, self.env_params)
        log_pb = log_prob(backward[:, 1:], invalid, actions)
        target = log_pb + data.log_gfn_reward[:, :-1]
        target = jnp.where(data.pad[:, :-1], 0.0, target).sum(1)
        return optax.squared_error(params["log_z"] + log_pf, target).mean()

    def _heads(self, logits: Array) -> list[Array]:
        return jnp.split(logits, [self.env.action_space.n], axis=-1)


def log_prob(logits: Array, invalid: Array, actions: Array) -> Array:
    """(B, T, A), (B, T, A) bool and (B, T) int to (B, T)."""
    log_probs = jax.nn.log_softmax(gfnx.utils.mask_logits(logits, invalid))
    return jnp.take_along_axis(log_probs, actions[..., None], axis=-1).squeeze(-1)


if __name__ == "__main__":
    serve(Gfnx, ["gfnx", "jax", "equinox", "optax"])
