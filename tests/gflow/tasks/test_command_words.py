"""The command that a run says repeats it does ask for the same settings."""

import pytest

from gflow.cli.train_flags import parse
from gflow.tasks.command import command_of, words_of
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS, task_class

WORDS = [
    "hypergrid",
    "hypergrid --side 5 --objective subtb --lam 0.5 --lr 1e-4 --eval-every 7 --device cpu",
    "hypergrid --objective led --led-lr 0.01 --epsilon 0.1 --seed 3 --behaviour local_search",
    "hypergrid --objective db --regression huber --condition temperature",
    "molecules --properties qed logp --combine sum --backward uniform",
    "tictactoe --steps 5 --threads 1",
    "marginals --task digits",
    "marginals --task ising --side 3",
]


@pytest.mark.parametrize("line", WORDS)
def test_words_say_the_same_settings(line: str) -> None:
    name, *rest = line.split()
    config = parse(task_class(name), rest)
    command, called, *words = words_of(config)
    assert (command, called) == ("train", name)
    assert parse(task_class(called), words) == config
    assert len(words) <= len(rest), "defaults are not said"


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_by_its_defaults(name: str) -> None:
    assert words_of(parse(TASKS[name], [])) == ["train", name]


def test_where_a_run_is_and_how_it_is_told_of_does_not_count() -> None:
    config = parse(TASKS["hypergrid"], ["--out", "a b", "--quiet", "--overwrite"])
    assert command_of(config) == "gflow train hypergrid"


def test_words_with_blanks_are_quoted() -> None:
    config = parse(TASKS["molecules"], ["--smiles", "my molecules.smi"])
    assert command_of(config) == "gflow train molecules --smiles 'my molecules.smi'"


def test_fine_tuning_names_its_sampler() -> None:
    config: RunConfig = parse(
        task_class("amortised hypergrid"), ["--pretrained", "runs/before", "--side", "5"]
    )
    assert words_of(config) == [
        "finetune", "runs/before", "--task", "hypergrid", "--how", "amortised", "--side", "5",
    ]  # fmt: skip
