"""`gflow completion`: what the parser takes is offered, by bash itself."""

import subprocess
from pathlib import Path

import pytest

from gflow.cli.completion import Words, bash, fish, words, zsh
from gflow.cli.main import COMMANDS, OWN_FLAGS, main
from gflow.tasks.flags import chosen_parts, flags_of
from gflow.tasks.registry import TASKS
from gflow.tasks.signature import dashed


@pytest.fixture(scope="module")
def known() -> Words:
    return words()


def offered(script: Path, lines: list[str], folder: Path) -> list[set[str]]:
    """What bash offers at the end of each line."""
    asked = [f'source "{script}"']
    for line in lines:
        typed = line.split(" ")
        quoted = " ".join(f'"{word}"' for word in typed)
        asked += [f"COMP_WORDS=( {quoted} )", f"COMP_CWORD={len(typed) - 1}", "_gflow"]
        asked.append('echo "${COMPREPLY[@]}"')
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(asked)],
        capture_output=True, text=True, cwd=folder, check=True,
    )  # fmt: skip
    assert not done.stderr
    return [set(line.split()) for line in done.stdout.split("\n")[: len(lines)]]


def test_bash_offers_what_the_parser_takes(known: Words, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(bash(known))
    (tmp_path / "mine.py").write_text("")
    commands, env, file, side, objective, names, rewards, lam, formats, other = offered(
        script,
        [
            "gflow ",
            "gflow train hyper",
            "gflow train mi",
            "gflow train hypergrid --s",
            "gflow train hypergrid --obj",
            "gflow train hypergrid --objective sub",
            "gflow train hypergrid --reward co",
            "gflow train hypergrid --objective subtb --l",
            "gflow sample runs --format ",
            "gflow train sets --objective tb --l",
        ],
        tmp_path,
    )
    assert commands == {*COMMANDS, *OWN_FLAGS, "--help", "--version"}
    assert env == {"hypergrid"}
    assert file == {"mis", "mixture", "mine.py"}
    assert {"--side", "--steps", "--seed", "--stop-metric"} <= side
    assert not any(flag.startswith("--w") for flag in side)
    assert objective == {"--objective"}
    assert names == {"subtb"}
    assert rewards == {"corners", "cosine", "cosine_product"}
    assert "--lam" in lam
    assert "--lam" not in other
    assert formats == {"jsonl", "json", "csv", "smi", "sdf"}


def test_no_flag_is_left_out(known: Words) -> None:
    for name in ("hypergrid", "molecules", "tictactoe"):
        cls = TASKS[name]
        parts = chosen_parts(cls, {})
        mine = {word.flag for word in (*known.common, *known.tasks[name][1])}
        for kind, part in parts.items():
            mine |= {word.flag for word in known.parts.get((dashed(kind), part), [])}
        assert {dashed(flag.names[0]) for flag in flags_of(cls, parts)} <= mine
    assert set(known.tasks) == set(TASKS)


def test_other_shells_get_the_same(known: Words, capsys: pytest.CaptureFixture[str]) -> None:
    assert zsh(known).endswith(bash(known))
    assert "bashcompinit" in zsh(known)
    lines = fish(known).splitlines()
    seen = "__fish_seen_subcommand_from train pretrain alphazero"
    side = f"complete -c gflow -n '{seen}; and __fish_seen_subcommand_from hypergrid' -l side -d "
    assert any(line.startswith(side) for line in lines)
    assert any(" -l objective -x -a '" in line and " subtb " in line for line in lines)
    assert all(line.startswith(("complete -c gflow ", "#")) for line in lines)
    assert main(["completion", "tcsh"]) == 2
    assert "SHELL" in capsys.readouterr().err
