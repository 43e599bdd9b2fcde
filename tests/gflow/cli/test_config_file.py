"""`--config run.yaml`: a file of flags or a run's own settings, overridden by words."""

from pathlib import Path

import pytest
import yaml

from gflow.cli.config_file import ConfigFile, typed_flags, with_config
from gflow.cli.main import main
from gflow.cli.train_flags import parse, task_of
from gflow.errors import ConfigError
from gflow.runs.folder import RunFolder
from gflow.tasks.options import RunConfig


def read(text: str, words: str = "", tmp: Path = Path()) -> RunConfig:
    """The settings by a file and words after the command."""
    file = tmp / "given.yaml"
    file.write_text(text)
    kept, found = with_config([*words.split(), "--config", str(file)])
    assert found is not None
    named = bool(kept) and not kept[0].startswith("-")
    called = found.called(kept[0] if named else "")
    rest = kept[1:] if named else kept
    cls = task_of(called, rest)
    return parse(cls, rest, called, known=found.values(cls, typed_flags(rest), "help"))


FLAT = """
environment: hypergrid
side: 5
objective: subtb
lam: 0.5
lr: 1e-3
eval-every: 7
backward: uniform
"""


def test_flags_in_a_file_are_those_of_the_command(tmp_path: Path) -> None:
    words = "--side 5 --objective subtb --lam 0.5 --lr 1e-3 --eval-every 7 --backward uniform"
    wanted = parse(task_of("hypergrid", []), words.split())
    assert read(FLAT, tmp=tmp_path) == wanted
    assert read(FLAT, "hypergrid", tmp_path) == wanted
    assert read(FLAT.replace("environment: hypergrid", ""), "hypergrid", tmp_path) == wanted


def test_words_override_the_file(tmp_path: Path) -> None:
    found = read(FLAT, "--side 6 --subtb-lam 0.7", tmp_path)
    assert (found.task.side, found.objective.settings["lam"]) == (6, 0.7)  # type: ignore[attr-defined]
    sections = "environment: hypergrid\nobjective: {name: subtb, lam: 0.5}\ntrain: {steps: 9}\n"
    assert read(sections, tmp=tmp_path).objective.settings["lam"] == 0.5
    other = read(sections, "--objective db", tmp_path)
    assert other.objective.name == "db", "what belongs to subtb is dropped with it"
    assert other.train.steps == 9


@pytest.mark.parametrize(
    "words",
    [
        "hypergrid --side 5 --objective led --led-lr 0.01 --epsilon 0.1 --condition temperature",
        "bits --objective db --regression huber --behaviour local_search --replay 100",
        "marginals --task ising --side 3 --device cpu",
        "sets --backward tlm --objective tb --sets-energy pairwise",
        "molecules --properties qed logp --weights 1 2",
    ],
)
def test_settings_that_a_run_wrote_are_such_a_file(words: str, tmp_path: Path) -> None:
    name, *rest = words.replace(" --sets-energy pairwise", "").split()
    config = parse(task_of(name, []), rest)
    text = yaml.safe_dump(config.to_dict(), sort_keys=False)
    assert read(text, tmp=tmp_path) == config
    assert read(text, "--seed 4", tmp_path).train.seed == 4


@pytest.mark.usefixtures("sketches")
def test_a_run_begins_from_the_settings_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.yaml").write_text(
        "environment: hypergrid\nside: 3\nwidth: 8\nsteps: 2\nquiet: true\neval-samples: 8\n"
        "out: one\n"
    )
    assert main(["train", "--config", "first.yaml"]) == 0
    assert main(["train", "--config=one/config.yaml", "--seed", "1"]) == 0
    one, two = (RunFolder(Path(name)).read_config() for name in ("one", "runs/hypergrid-tb-1"))
    assert (one.train.seed, two.train.seed) == (0, 1)
    assert one.task == two.task
    capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("- 3", "", "must hold flags and their values"),
        ("steps: 3", "", "does not say what to train on"),
        ("environment: sets", "hypergrid", "is about sets, and the command about hypergrid"),
        ("stepz: 3", "hypergrid", "no flag --stepz. Did you mean --steps"),
        ("train: {stepz: 3}", "hypergrid", "there is no train.stepz. Did you mean steps"),
        ("lr: fast", "hypergrid", "lr must be a number, got 'fast'"),
        ("odd: {a: 1}", "hypergrid", "odd has no use for"),
        ("lam: 0.5", "hypergrid", "--lam belongs to the objective"),
        ("steps: [", "hypergrid", "cannot be read"),
    ],
)
def test_what_is_wrong_is_refused(text: str, words: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        read(text, words, tmp_path)


def test_one_file_is_named() -> None:
    with pytest.raises(ConfigError, match="takes one file, got nothing"):
        with_config(["--config"])
    with pytest.raises(ConfigError, match="takes one file, got a and b"):
        with_config(["--config", "a", "--config=b"])
    with pytest.raises(ConfigError, match="cannot be read: .*No such file"):
        ConfigFile.read(Path("nowhere.yaml"))
