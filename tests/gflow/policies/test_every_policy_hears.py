"""Every policy and every encoder of states reads its condition, in every head and on every path."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gflow
from gflow import Environment, MLPPolicy, Needs, Policy, Sampler, Trajectories, evaluate
from gflow.backward.choice import with_backward
from gflow.behaviours.sources import Tempered
from gflow.conditions.temperature import Temperature
from gflow.em.tempered import TemperedPolicy
from gflow.energies.policy import RandomOrderPolicy
from gflow.environment.rewarded import with_reward
from gflow.envs.atoms.env import Atoms
from gflow.envs.atoms.policy import AtomPolicy
from gflow.envs.codes.policy import CodePolicy
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.policy import BoxPolicy, PointEncoder
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.env import Dags
from gflow.envs.dags.guide import DeltaGuide
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.oracle import OraclePolicy
from gflow.envs.diffusion.policy import DiffusionEncoder, DiffusionPolicy
from gflow.envs.games.policy import BoardPolicy
from gflow.envs.games.tictactoe import TicTacToe
from gflow.envs.grammar.policy import ParserPolicy
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import erdos_renyi
from gflow.envs.graphs.policy import GraphEncoder, GraphPolicy
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.molecules.policy import MoleculePolicy
from gflow.envs.molecules.task import MoleculesTask
from gflow.envs.proofs.policy import TacticPolicy
from gflow.envs.reactions import ReactionPolicy, Reactions
from gflow.envs.sequences.env import Autoregressive
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.torus.env import Torus
from gflow.envs.torus.policy import TorusPolicy
from gflow.envs.torus.targets import Sines
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact.family import TabularFamily
from gflow.exact.tabular import TabularPolicy
from gflow.language.policy import HuggingFacePolicy
from gflow.listed.policy import OnList, Shared
from gflow.marginals.policy import MarginalPolicy
from gflow.outcomes.conversion import Converted
from gflow.outcomes.monte_carlo import MonteCarlo
from gflow.outcomes.policy import OutcomePolicy
from gflow.outcomes.tables import OutcomeTables
from gflow.policies.asked import Asked
from gflow.policies.chunked import Chunked
from gflow.policies.encoder import FeatureEncoder, StateEncoder
from gflow.policies.even import EvenPolicy
from gflow.policies.logit_scaled import LogitScaled
from gflow.policies.split import SplitPolicy
from gflow.policies.transformer import CausalTransformer
from gflow.policies.untold import Untold
from gflow.rewards.base import FunctionReward
from gflow.rewards.wrappers import TemperatureConditional
from gflow.stacked.perceptron import StackedPerceptrons
from gflow.stacked.policy import StackedPolicy
from gflow.state import take
from gflow.training.trainer import TrainConfig, Trainer

LEARNED: Any = "learned"


def network() -> BGe:
    generator = torch.Generator().manual_seed(0)
    return BGe(erdos_renyi_network(3, 2, noise_std=0.5, generator=generator).sample(20, generator))


def sequences() -> Environment[Any]:
    return Autoregressive("abc", 3, FunctionReward(lambda s: s.sum(-1) * 0.1))


def guided(env: Any) -> DagPolicy:
    return DagPolicy(env, 8, 2, LEARNED, True, DeltaGuide(network()))


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Policy]]] = {
    "mlp": (lambda: HyperGrid(2, 3), lambda e: MLPPolicy(e, 8, 2, log_flow=1)),
    "transformer": (sequences, lambda e: CausalTransformer(e, 8, 1, 2, log_flow=True)),
    "graph": (
        lambda: IndependentSet(erdos_renyi(2, 5, 0.5, torch.Generator().manual_seed(0))),
        lambda e: GraphPolicy(e, 8, 2, log_flow=True),
    ),
    "graph-backward": (
        lambda: IndependentSet(erdos_renyi(2, 5, 0.5, torch.Generator().manual_seed(0))),
        lambda e: GraphPolicy(e, 8, 2, LEARNED, True),
    ),
    "molecule": (
        lambda: MoleculesTask(vocabulary_size=20, workers=0, max_fragments=3).environment(),
        lambda e: MoleculePolicy(e, 8, 1, LEARNED, True),
    ),
    "atom": (
        lambda: Atoms("qed", beta=8.0, max_atoms=4, kinds=("C", "N", "O")),
        lambda e: AtomPolicy(e, 8, 1, LEARNED, True),
    ),
    "reaction": (
        lambda: Reactions("qed", 4.0, blocks=["O=C(O)c1ccccc1", "NCc1ccccc1", "CN"], max_steps=1),
        lambda e: ReactionPolicy(e, 8, 1, LEARNED, True),
    ),
    "dag": (lambda: Dags(3, network()), lambda e: DagPolicy(e, 8, 2, LEARNED, True)),
    "dag-guided": (lambda: Dags(3, network()), guided),
    "board": (TicTacToe, lambda e: BoardPolicy(e, 4, 1, 4, 2)),
    "board-plain": (TicTacToe, lambda e: BoardPolicy(e, 4, 1, 4, 1, symmetric=False)),
    "diffusion": (
        lambda: Diffusion(Gaussian([1.0, -1.0]), times=4),
        lambda e: DiffusionPolicy(e, 8, 1, True, langevin=True),
    ),
    "annealed": (
        lambda: AnnealedLangevin(Gaussian([1.0, -1.0]), 4),
        lambda e: DiffusionPolicy(e, 8, 1, True),
    ),
    "torus": (lambda: Torus(Sines(), 3, 2), lambda e: TorusPolicy(e, 8, 1, 2, LEARNED, True)),
    "torus-shared": (
        lambda: Torus(Sines(), 3, 2),
        lambda e: TorusPolicy(e, 8, 1, 2, LEARNED, True, shared=True),
    ),
    "box": (Box, lambda e: BoxPolicy(e, 8, 2, backward=LEARNED, log_flow=True)),
    "split": (
        lambda: HyperGrid(2, 3),
        lambda e: with_backward("separate", e, MLPPolicy(e, 8, 2, "uniform", 1))[0],
    ),
    "count": (
        lambda: HyperGrid(2, 3),
        lambda e: with_backward("learned_maxent", e, MLPPolicy(e, 8, 2, "uniform", 1))[0],
    ),
    "chunked": (lambda: HyperGrid(2, 3), lambda e: Chunked(MLPPolicy(e, 8, 2, log_flow=1), 3)),
    "chunked-transformer": (
        sequences,
        lambda e: Chunked(CausalTransformer(e, 8, 1, 2, log_flow=True), 5),
    ),
    "logits": (
        lambda: HyperGrid(2, 3),
        lambda e: LogitScaled(MLPPolicy(HyperGrid(2, 3), 8, 2), e),
    ),
    "logits-transformer": (
        sequences,
        lambda e: LogitScaled(CausalTransformer(sequences(), 8, 1, 2), e),
    ),
}

EXEMPT = {
    TabularPolicy: "answers for the condition of its list of states, and refuses others",
    TabularFamily: "refuses conditions without a table",
    OutcomeTables: "has a table for each outcome that it is told",
    OraclePolicy: "refuses environments with conditions",
    OnList: "tells another policy what it is told",
    Shared: "likewise",
    StackedPolicy: "tells the policies of several runs what each is told",
    StackedPerceptrons: "likewise",
    Asked: "is asked for one condition, whatever it is told",
    Converted: "has an outcome-conditioned policy asked for all outcomes, and is told nothing",
    MonteCarlo: "likewise, for some outcomes",
    OutcomePolicy: "compares states with the outcome that it is told, by features of both",
    TemperedPolicy: "tells another policy what it is told",
    Tempered: "likewise",
    Untold: "hides the condition from a policy that reads none",
    EvenPolicy: "moves evenly, whatever it is told: a baseline",
    CodePolicy: "looks up the picture that its condition calls, and is no policy without",
    HuggingFacePolicy: "reads the prompt, which is part of its states, and refuses the rest",
    MarginalPolicy: "refuses environments with conditions",
    RandomOrderPolicy: "likewise",
    ParserPolicy: "reads the sentence, which is part of its states",
    TacticPolicy: "reads the goal, which is part of its states, and the theorem that is called",
}


def lively(module: nn.Module, seed: int = 0) -> Any:
    """Weights without the zeros of the start, which would hide what is read."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.4, generator=generator)
    return module


def conditional(env: Environment[Any]) -> Environment[Any]:
    if env.source_reads_condition:  # graphs: here each state knows its own
        view = with_reward(env, TemperatureConditional(env.reward), 1)
        view.conditioning = Temperature(low=0.5, high=4.0, marks=4)
        return view
    return Temperature(low=0.5, high=4.0, marks=4).applied(env)


def sampled(env: Environment[Any], build: Callable[[Any], Policy]) -> Trajectories[Any]:
    """Trajectories of a policy that is told nothing."""
    scales = "LogitScaled" in build.__code__.co_names
    if isinstance(env, HyperGrid):
        policy: Policy = MLPPolicy(env, 8, 1)
    else:
        policy = CausalTransformer(env, 8, 1, 2) if scales else build(env)
    return Sampler(env).forward(lively(policy, 3), 12, generator=torch.Generator().manual_seed(1))


def changed(one: Tensor | None, other: Tensor | None) -> Tensor:
    """(N,) bool rows that differ."""
    assert one is not None
    assert other is not None
    differ = (one - other).abs() > 1e-7
    return differ.view(len(differ), -1).any(1)


@pytest.mark.parametrize("name", CASES)
def test_policies_notice_shuffled_conditions(name: str) -> None:
    """Whatever is told to one state and not to another changes all that is said of it."""
    if name == "molecule":
        pytest.importorskip("rdkit")
    make, build = CASES[name]
    plain = make()
    torch.manual_seed(0)
    batch = sampled(plain, build)
    env = conditional(plain)
    policy = lively(build(env))
    betas = torch.linspace(0.6, 3.9, 12)[:, None]
    told, shuffled = (batch.told(c, batch.log_reward) for c in (betas, betas.roll(1, 0)))
    condition, other = told.condition_of_states, shuffled.condition_of_states
    states = told.states
    with torch.no_grad():
        said, again = policy(env, states, condition), policy(env, states, other)
        live = ~env.is_terminal(states)
        assert bool(changed(said.forward_logits, again.forward_logits)[live].all())
        if said.log_flow is not None:
            assert bool(changed(said.log_flow, again.log_flow)[live].all())
        if said.backward_logits is not None and not name.startswith("logits"):
            begun = ~env.is_initial(states)
            back = said.backward_logits.where(said.backward_logits > -1e9, 0.0)
            back_again = again.backward_logits
            assert back_again is not None
            several = (said.backward_logits > -1e9).sum(1) > 1
            noticed = changed(back, back_again.where(back_again > -1e9, 0.0))
            assert bool(noticed[begun & several].all())
        alone = policy.forward_logits(env, states, condition)
        torch.testing.assert_close(alone, said.forward_logits)
        rows = torch.tensor([3, 0, 3, 1])
        assert condition is not None
        part = policy.forward_logits(env, take(states, rows), condition[rows])
        torch.testing.assert_close(part, said.forward_logits[rows])
        shared = policy.of_trajectories(env, told, condition).forward_logits
        torch.testing.assert_close(shared[live], said.forward_logits[live])
        session = policy.begin(env, 12, betas)
        if session is not None:
            start = env.initial(12)
            begin = session(start, torch.arange(12))
            torch.testing.assert_close(begin, policy.forward_logits(env, start, betas))
        terms, misheard = (evaluate(env, policy, b, Needs()) for b in (told, shuffled))
    differ = ((terms.log_pf - misheard.log_pf).abs() > 1e-9).any(1)
    assert float(differ.double().mean()) > 0.7  # where there was anything to decide
    with pytest.raises(ConfigError, match="conditional and got no condition|needs conditions"):
        policy(env, states)


def concrete(base: type[Any]) -> set[type[Any]]:
    """Classes of the package that derive from `base` and can be built."""
    found = set()
    for module in pkgutil.walk_packages(gflow.__path__, "gflow."):
        if module.name.split(".")[-1].startswith("_") or ".peers" in module.name:
            continue
        home = importlib.import_module(module.name)
        found |= {
            cls
            for cls in vars(home).values()
            if isinstance(cls, type)
            and not cls.__name__.startswith("_")
            and issubclass(cls, base)
            and cls.__module__ == home.__name__
            and not getattr(cls, "__abstractmethods__", None)
        }
    return found


def test_no_policy_and_no_encoder_is_left_out() -> None:
    """A policy that is new must show here that it hears, or that it refuses."""
    seen = {type(build(conditional(make()))) for make, build in CASES.values()}
    assert concrete(Policy) - seen == set(EXEMPT)
    assert concrete(StateEncoder) == {
        FeatureEncoder, PointEncoder, DiffusionEncoder, GraphEncoder,
    }  # fmt: skip
    assert SplitPolicy in seen


@pytest.mark.parametrize("kind", [FeatureEncoder, PointEncoder, DiffusionEncoder, GraphEncoder])
def test_encoders_of_states_notice_shuffled_conditions(kind: Any) -> None:
    name = {PointEncoder: "box", DiffusionEncoder: "diffusion", GraphEncoder: "graph"}.get(kind)
    make, build = CASES[name or "mlp"]
    plain = make()
    batch = sampled(plain, build)
    env: Any = conditional(plain)
    encoder = lively(kind(8, 1, env) if kind is GraphEncoder else kind(env, 8))
    betas = torch.linspace(0.6, 3.9, 12)[:, None]
    told = batch.told(betas)
    condition, other = told.condition_of_states, batch.told(betas.roll(1, 0)).condition_of_states
    said, again = encoder(env, told.states, condition), encoder(env, told.states, other)
    assert bool(changed(said.detach(), again.detach()).all())
    with pytest.raises(ConfigError, match="conditional and got no condition"):
        encoder(env, told.states)


def test_the_oracle_refuses_conditions() -> None:
    env = conditional(Diffusion(Gaussian([1.0, -1.0]), times=4))
    with pytest.raises(IncompatibleError, match="OraclePolicy reads no condition"):
        OraclePolicy(env)  # type: ignore[arg-type]


def test_asked_says_what_is_said_for_its_condition() -> None:
    env = conditional(HyperGrid(2, 3))
    policy = lively(MLPPolicy(env, 8, 2, log_flow=1))
    asked, states = Asked(policy, torch.tensor([[2.0]])), env.initial(3)
    wanted = policy(env, states, torch.full((3, 1), 2.0))
    said = asked(HyperGrid(2, 3), states)
    torch.testing.assert_close(said.forward_logits, wanted.forward_logits)
    torch.testing.assert_close(said.backward_logits, wanted.backward_logits)
    torch.testing.assert_close(asked.forward_logits(env, states), wanted.forward_logits)
    torch.testing.assert_close(asked.backward_logits(env, states), wanted.backward_logits)


def test_a_batch_told_other_conditions_is_no_batch_of_equal_states() -> None:
    """A trainer of a conditional policy never shares what is said of equal states."""
    env = conditional(HyperGrid(2, 3))
    policy = MLPPolicy(env, 8, 1)
    from gflow.objectives import LogPartitionVariance

    trainer = Trainer(
        env, policy, LogPartitionVariance(), TrainConfig(batch_size=6, steps=2),
        condition=Temperature(low=0.5, high=4.0, marks=4, repeat=2).sampler(env),
    )  # fmt: skip
    batch = trainer.sample()
    assert batch.owner is not None
    assert batch.condition is not None
    assert len(batch.condition.unique()) == 3
    assert bool((batch.condition_of_states == batch.condition[batch.owner]).all())  # type: ignore[union-attr]
