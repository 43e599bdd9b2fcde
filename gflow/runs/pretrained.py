"""Trained samplers in folders that can be given away: weights, settings, files, a card."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import gflow
from gflow.conditions.conditioning import Conditioning
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.errors import CheckpointError, ConfigError, MissingExtraError
from gflow.policies.base import Policy
from gflow.runs.build import build_context
from gflow.runs.card import NAME as CARD
from gflow.runs.card import card_of
from gflow.runs.folder import run_folder_of
from gflow.runs.packed import pack, unpack
from gflow.runs.portable import Files, named_again, placed, refuse_code
from gflow.tasks.bare import task_of_object
from gflow.tasks.options import KINDS, RunConfig
from gflow.tasks.task import Task
from gflow.training.atomic import write_text

if TYPE_CHECKING:
    from gflow.runs.trained import Trained

FORMAT = 1
SETTINGS = "config.json"
WEIGHTS = "model.safetensors"
GIVEN = ("environment", "policy", "condition")
"""What may have been made in Python, so that no folder can hold it."""


def save(trained: "Trained", folder: str | Path, samples: int = 100) -> Path:
    """Write a sampler into a folder of its own; see `Trained.save_pretrained`."""
    safetensors = _safetensors("save_pretrained")
    path = Path(folder).expanduser()
    if run_folder_of(path):
        raise ConfigError(
            f"save_pretrained: {path} is the folder of a run. Give a folder of its own, whose "
            f"files {SETTINGS}, {WEIGHTS} and {CARD} are replaced."
        )
    path.mkdir(parents=True, exist_ok=True)
    trainer, config = trained.trainer, trained.config
    tensors: dict[str, torch.Tensor] = {}
    state = pack(
        {
            "policy": trained.policy.state_dict(),
            "objective": trainer.objective.state_dict(),
            "learners": [learner.state_dict() for learner in trainer.learners],
            "condition": None if trainer.condition is None else trainer.condition.state_dict(),
            "reward_version": trainer.env.reward.version,
        },
        tensors,
    )
    needs = {name: _class_of(thing) for name, thing in _made_in_python(trained).items()}
    document = {
        "library": "gflow",
        "format": FORMAT,
        "version": gflow.__version__,
        "dtype": str(torch.get_default_dtype()),
        "step": trained.step,
        "needs": needs,
        "settings": _settings(config, Files(path), "environment" in needs),
        "state": state,
    }
    safetensors.save_file(tensors, str(path / WEIGHTS), {"format": "pt"})
    write_text(path / SETTINGS, json.dumps(document, indent=2, allow_nan=False) + "\n")
    write_text(path / CARD, card_of(trained, path.resolve().name, needs, samples))
    return path


def load(
    folder: str | Path,
    *,
    environment: Environment[Any] | Task[Any] | None = None,
    policy: Policy | None = None,
    condition: ConditionSampler | Conditioning | None = None,
    trust_code: bool = False,
    device: str = "cpu",
) -> "Trained":
    """Read what `save_pretrained` wrote; see `gflow.from_pretrained`."""
    from gflow.runs.trained import Trained

    path = Path(folder).expanduser().resolve()
    document = _document(path)
    given = {"environment": environment, "policy": policy, "condition": condition}
    _require(path, document["needs"], given)
    dtype = str(torch.get_default_dtype())
    if document["dtype"] != dtype:
        raise CheckpointError(
            f"{path} was trained under the default dtype {document['dtype']}, and that is {dtype} "
            f"now, which gives other numbers. Call torch.set_default_dtype({document['dtype']}) "
            f"first."
        )
    if not trust_code:
        refuse_code(path, document["settings"])
    settings = placed(document["settings"], path)
    settings["run"] |= {"device": device}
    kind = None
    if environment is not None:
        task = task_of_object(environment) if isinstance(environment, Environment) else environment
        kind = type(task)
        if isinstance(environment, Task):
            settings["task"] = RunConfig.of(task).to_dict()["task"]
    config = RunConfig.from_dict(settings, kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)  # of what is drawn while the environment is built
        context = build_context(config, policy, condition)
    found = Trained(config, context, tuple(document["needs"]))
    _fill(found, document, path)
    return found


def _fill(trained: "Trained", document: dict[str, Any], path: Path) -> None:
    """Put the saved state into what was built."""
    trainer = trained.trainer
    load_file = _safetensors("from_pretrained").load_file
    try:
        tensors = load_file(str(path / WEIGHTS), device=str(trainer.device))
    except Exception as error:  # of a library in another language
        raise CheckpointError(f"{path / WEIGHTS} cannot be read: {error}") from None
    state = unpack(document["state"], tensors)
    try:
        trainer.policy.load_state_dict(state["policy"])
        if trainer.average is not None:
            trainer.average.load_state_dict(state["policy"])
        trainer.objective.load_state_dict(state["objective"])
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path} do not fit what its settings describe: "
            f"{' '.join(str(error).split())}"
        ) from None
    for learner, saved in zip(trainer.learners, state["learners"], strict=True):
        learner.load_state_dict(saved)
    if trainer.condition is not None:
        trainer.condition.load_state_dict(state["condition"])
    trainer.env.reward.version = state["reward_version"]
    trainer.step = document["step"]


def _document(path: Path) -> dict[str, Any]:
    """The settings file, if it is one."""
    file = path / SETTINGS
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ConfigError(
            f"{path} holds no saved sampler: there is no {SETTINGS} in it. `save_pretrained` of a "
            f"trained sampler writes one; a run's folder is read by gflow.load."
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from None
    keys = ("library", "format", "dtype", "step", "needs", "settings", "state")
    if not isinstance(found, dict) or found.get("library") != "gflow":
        raise ConfigError(f"{file} is of another library: it does not name gflow.")
    missing = [key for key in keys if key not in found]
    if missing or found["format"] != FORMAT:
        what = f"it lacks {missing[0]!r}" if missing else f"its format is {found['format']}"
        raise ConfigError(f"{file} is not what this gflow ({gflow.__version__}) writes: {what}.")
    return found


def _require(path: Path, needs: dict[str, str], given: dict[str, Any]) -> None:
    """Refuse what is missing of what was made in Python, and what is not asked for."""
    for name in GIVEN:
        if name in needs and given[name] is None:
            raise ConfigError(
                f"{path} was trained with {'an' if name == 'environment' else 'a'} {name} that was "
                f"made in Python, {needs[name]}, which no folder holds. Make it again and pass it: "
                f"gflow.from_pretrained(folder, {name}=...). A class in a file or package is "
                f"found without that if it is named: gflow.fit('file.py:Class', ...)."
            )
        if name not in needs and given[name] is not None:
            raise ConfigError(f"{path} says which {name} it has: leave {name}= out.")


def _made_in_python(trained: "Trained") -> dict[str, Any]:
    """What of a sampler the folder cannot say."""
    found: dict[str, Any] = {}
    if not named_again(trained.config.task):
        there = getattr(trained.config.task, "there", None)
        found["environment"] = trained.config.task if there is None else there
    if "policy" in trained.given:
        found["policy"] = trained.trainer.policy
    if "condition" in trained.given:
        found["condition"] = trained.trainer.condition
    return found


def _settings(config: RunConfig, files: Files, nameless: bool) -> dict[str, Any]:
    """The settings of a run, with files in the folder, and without where it ran."""
    found = config.to_dict()
    if not nameless:
        found["environment"] = files.reference(found["environment"])
        found["task"] = files.settings(config.task, found["task"])
    for kind in KINDS:
        found[kind]["name"] = files.reference(found[kind]["name"])
    found["run"] |= {"out": "", "overwrite": False, "track": [], "device": "cpu"}
    return found


def _class_of(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _safetensors(purpose: str) -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise MissingExtraError("safetensors", "hub", purpose) from error
    return safetensors.torch
