import json
import math
import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import MLPPolicy, enumerate_states
from gflow.envs.phylogeny import env as phylogeny
from gflow.envs.phylogeny.alignments import NUCLEOTIDES, Alignment
from gflow.envs.phylogeny.env import Forest, Parsimony, Phylogeny
from gflow.errors import ConfigError
from gflow.rewards.base import FunctionReward
from gflow.sampling.sampler import Sampler
from gflow.state import take
from gflow.testing import check_env

DATA = Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3] / "../shared/data"))

sequences = st.integers(2, 5).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from(sorted(NUCLEOTIDES)), min_size=4, max_size=4).map("".join),
        min_size=n,
        max_size=n,
    )
)


def aligned(rows: list[str]) -> Alignment:
    sequences = {f"t{i}": row for i, row in enumerate(rows)}
    return Alignment.from_sequences(sequences, ambiguous=True)


@pytest.mark.slow
@given(rows=sequences, baseline=st.floats(0, 5), scale=st.floats(0.5, 3))
def test_contract(rows: list[str], baseline: float, scale: float) -> None:
    env = Phylogeny(Parsimony(aligned(rows), baseline, scale))
    checked = check_env(env)
    assert checked.exhaustive
    # Forests: exp(1 - sqrt(1 - 2 x)) is their exponential generating function.
    assert checked.num_states == {2: 2, 3: 7, 4: 37, 5: 266}[env.leaves]
    assert checked.longest == env.leaves - 1


@pytest.mark.parametrize("leaves", [2, 3, 4, 5])
def test_trees_and_orders(leaves: int) -> None:
    """(2N - 3)!! trees, and N! (N - 1)! / 2^(N - 1) orders of joining."""
    env = Phylogeny(FunctionReward(lambda forest: forest.made.sum(-1).double()), leaves)
    graph = enumerate_states(env)
    assert len(graph.objects) == math.prod(range(1, 2 * leaves - 2, 2))
    orders = math.factorial(leaves) * math.factorial(leaves - 1) / 2 ** (leaves - 1)
    assert float(graph.log_num_trajectories()[graph.objects].logsumexp(0)) == pytest.approx(
        math.log(orders)
    )
    assert len(set(env.show(graph.states))) == len(graph)


def read(text: str) -> Any:
    """One Newick tree as nested pairs of names."""
    text = text.rstrip(";")
    if not text.startswith("("):
        return text
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 1:
            return read(text[1:at]), read(text[at + 1 : -1])
    raise AssertionError(text)


def fewest(tree: Any, rows: dict[str, str], site: int) -> int:
    """Mutations of one column: the best of all labels of the inner nodes (Sankoff)."""

    def costs(node: Any) -> list[float]:
        if isinstance(node, str):
            allowed = NUCLEOTIDES[rows[node][site]]
            return [0 if allowed >> x & 1 else math.inf for x in range(4)]
        sides = [costs(child) for child in node]
        return [sum(min(side[y] + (x != y) for y in range(4)) for side in sides) for x in range(4)]

    return round(min(costs(tree)))


@given(rows=sequences, seed=st.integers(0, 99))
def test_parsimony_against_dynamic_programming(rows: list[str], seed: int) -> None:
    """Fitch on bits counts as Sankoff's costs do, on finished trees and on forests."""
    reward = Parsimony(aligned(rows), baseline=3.0, scale=2.0)
    env = Phylogeny(reward)
    named = dict(zip(env.names, rows, strict=True))
    graph = enumerate_states(env)
    some = torch.randperm(len(graph), generator=torch.Generator().manual_seed(seed))[:8]
    states = take(graph.states, some)
    expected = [
        sum(fewest(read(tree), named, site) for tree in line.split() for site in range(4))
        for line in env.show(states)
    ]
    assert reward.mutations(states).tolist() == expected
    joins = (states.made > 0).sum(1)
    value = (3.0 * joins / (env.leaves - 1) - torch.tensor(expected)) / 2
    torch.testing.assert_close(reward.partial(states), value)
    torch.testing.assert_close(reward(states), value)


def test_where_the_root_lies_costs_nothing() -> None:
    """((a,b),(c,d)) and (a,(b,(c,d))) are one unrooted tree."""
    env = Phylogeny(Parsimony(Alignment.simulate(4, 30, 0.5)))
    graph = enumerate_states(env)
    mutations = env.reward.mutations(graph.states)  # type: ignore[attr-defined]
    by_tree = dict(zip(env.show(graph.states), mutations.tolist(), strict=True))
    a, b, c, d = env.names
    same = [f"(({a},{b}),({c},{d}));", f"({a},({b},({c},{d})));", f"((({a},{b}),{c}),{d});"]
    assert len({by_tree[tree] for tree in same}) == 1
    assert len(set(by_tree.values())) > 2


def test_large_batches_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    reward = Parsimony(Alignment.simulate(5, 40))
    env = Phylogeny(reward)
    states = enumerate_states(env).states
    whole = reward.mutations(states)
    monkeypatch.setattr(phylogeny, "CHUNK_BYTES", 7 * reward.alignment.patterns.numel())
    assert torch.equal(reward.mutations(states), whole)


def test_alignments_are_reduced_to_what_counts() -> None:
    found = Alignment.from_sequences({"a": "AACCN", "b": "ARCT-", "c": "ATTC?"})
    # Columns 0 and 4 suit one nucleotide; the others differ from one another.
    assert found.num_sites == 5
    assert found.weights.tolist() == [1, 1, 1]
    twice = Alignment.from_sequences({"a": "ACA", "b": "CGC", "c": "ata".upper()})
    assert sorted(twice.weights.tolist()) == [1, 2]
    assert Alignment.simulate(6, 50, seed=1).names == Alignment.simulate(6, 50, seed=2).names
    assert torch.equal(Alignment.simulate(6, 50).patterns, Alignment.simulate(6, 50).patterns)


def test_many_leaves_have_no_keys() -> None:
    assert Phylogeny(Parsimony(Alignment.simulate(11, 10))).has_keys
    env = Phylogeny(Parsimony(Alignment.simulate(12, 10)))
    assert not env.has_keys
    assert not check_env(env, examples=8).exhaustive
    batch = Sampler(env).forward(MLPPolicy(env, width=8), 5)
    assert batch.length.tolist() == [11] * 5


def test_json_files(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": "ACGT", "b": "ACGA", "c": "TCGA"}))
    assert Alignment.from_json(path).names == ("a", "b", "c")
    with pytest.raises(ConfigError, match="gfn-maxent-rl on GitHub"):
        Alignment.from_json(tmp_path / "none.json")
    for text, message in (
        ("[1]", "another kind of JSON than an object of sequences"),
        ("{", "is not JSON"),
        ('{"t1": "AC", "t2": "AG", "t1": "TC"}', "called 't1' .entry 1 and entry 3"),
        ('{"t1": "AC", "t2": 3}', "the value of 't2' must be its sequence, got '3'"),
        ('{"a": {"t1": "AC", "t2": "AG"}}', "the value of 'a' must be its sequence"),
        ('{"t1": "AC", "t2": "AGA"}', "x.json: Alignment: the sequence of 't2' has 3 letters"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            Alignment.from_json(path)


@pytest.mark.parametrize(
    ("number", "taxa", "sites", "mutations"),
    [(1, 27, 1949, 1172), (2, 29, 2520, 6947), (3, 36, 1812, 8571), (4, 41, 1137, 3307),
     (5, 50, 378, 2178), (6, 50, 1133, 1590), (7, 59, 1824, 9772), (8, 64, 1008, 2002)],
)  # fmt: skip
def test_standard_alignments(number: int, taxa: int, sites: int, mutations: int) -> None:
    """Mutations as dendropy counts them on the same tree."""
    path = DATA / f"phylo_DS{number}.json"
    if not path.is_file():
        pytest.skip("the standard alignments are not here")
    found = Alignment.from_json(path)
    assert (len(found.names), found.num_sites) == (taxa, sites)
    reward = Parsimony(found)
    env = Phylogeny(reward)
    states = env.initial(1)
    while not bool(env.is_terminal(states)[0]):  # a caterpillar in the order of the names
        states = env.step(states, env.forward_mask(states).long().argmax(1))
    assert int(reward.mutations(states)) == mutations


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="of 'b' has 1 letters and that of 'a' has 2. Align them"):
        Alignment.from_sequences({"a": "AC", "b": "A"})
    for value in ({"a": ["A"], "b": ["C"]}, {1: "A", 2: "C"}, [("a", "A"), ("b", "C")]):
        with pytest.raises(ConfigError, match="a dictionary is needed, its names and sequences"):
            Alignment.from_sequences(value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="need at least two sequences, got 1"):
        Alignment.from_sequences({"a": "AC"})
    with pytest.raises(ConfigError, match=r"sequence of 'b' contains \['J'\]"):
        Alignment.from_sequences({"a": "A", "b": "J"})
    reward = Parsimony(Alignment.simulate(4, 5))
    with pytest.raises(ConfigError, match="has 4 taxa, got leaves=5"):
        Phylogeny(reward, leaves=5)
    with pytest.raises(ConfigError, match="at least 2 leaves"):
        Phylogeny(FunctionReward(lambda x: x.made.sum(-1)), leaves=1)
    with pytest.raises(ConfigError, match="scale must be positive"):
        Parsimony(Alignment.simulate(4, 5), scale=0)


PEPTIDES = {"a": "MKVAHTWS", "b": "MKVSHTWS", "c": "MRVSHTYS", "d": "MRVSNTYS"}


def test_amino_acids_are_not_taken_for_nucleotides() -> None:
    message = "26 of 31 letters are ambiguity codes, as if these were amino acids"
    with pytest.raises(ConfigError, match=message):
        Alignment.from_sequences(PEPTIDES)
    assert Alignment.from_sequences(PEPTIDES, ambiguous=True).num_sites == 8
    with pytest.raises(ConfigError, match="4 of 36 letters are ambiguity codes"):
        Alignment.from_sequences({"a": "ACGTACGTDACGTACGTV", "b": "ACGTACGTVACGTACGTD"})
    with pytest.raises(ConfigError, match=r"\['E', 'L'\].*These are amino acids; parsimony here"):
        Alignment.from_sequences({"a": "MKLE", "b": "MKLE"})
    unknown = Alignment.from_sequences({"a": "ACGTNNNNNNNN----", "b": "ACRTYYNN????----"})
    assert unknown.num_sites == 16, "what is unknown is no ambiguity code"


def test_dots_are_written_out_or_refused() -> None:
    full = {"a": "ACGTAC", "b": "ACGTCC", "c": "AGGTCC", "d": "AGGTCT"}
    dots = {"a": "ACGTAC", "b": "....C.", "c": ".G..C.", "d": ".g..CT"}
    wanted, found = Alignment.from_sequences(full), Alignment.from_sequences(dots, match=".")
    assert torch.equal(found.patterns, wanted.patterns)
    assert torch.equal(found.weights, wanted.weights)
    with pytest.raises(ConfigError, match="A dot may mean a gap, or the letter of the first sequ"):
        Alignment.from_sequences(dots)
    with pytest.raises(ConfigError, match="'a': '.' stands for the letter .* none at column 2"):
        Alignment.from_sequences({"a": "A.G", "b": "ACG"}, match=".")


def test_names_with_signs_of_newick_are_quoted() -> None:
    found = Alignment.from_sequences({"Homo sapiens": "A", "it's (one)": "C"})
    env = Phylogeny(Parsimony(found))
    assert env.show(env.step(env.initial(1), torch.tensor([0]))) == [
        "('Homo sapiens','it''s (one)');"
    ]


def test_forests_are_written_in_one_way() -> None:
    """Two orders of the same joins give equal tensors, not only equal keys."""
    env = Phylogeny(FunctionReward(lambda x: x.made.sum(-1)), 4)
    # Pairs: 01 02 03 12 13 23.
    ways = []
    for actions in product([0, 5], repeat=2):
        if actions[0] == actions[1]:
            continue
        states = env.initial(1)
        for action in actions:
            states = env.step(states, torch.tensor([action]))
        ways.append(states)
    one, two = ways
    assert isinstance(one, Forest)
    assert torch.equal(one.into, two.into)
    assert torch.equal(one.made, two.made)
    assert torch.equal(one.leaves, two.leaves)
