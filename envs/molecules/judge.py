"""What a run on molecules is judged by while it trains: modes, scaffolds, what is new."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gflow.bounds import NotNegative, Probability
from gflow.envs.molecules.known import Known
from gflow.envs.molecules.modes import Modes
from gflow.training.callbacks import TrainingCallback
from gflow.trajectories import Trajectories

Said = tuple[list[str], list[float]]
"""SMILES of molecules, and the reward of each before any temperature."""


class MoleculeJudge(TrainingCallback):
    """Sees the molecules of every training batch; in the first process those of all that train.

    A file of known molecules is read before the first is seen, so that a bad one costs no training.

    Args:
        said: SMILES and rewards of finished objects.
        modes: Finds modes.
        known: What is not new; or None.
        clock: Gives seconds; by default CPU seconds of this process.
    """

    def __init__(
        self,
        said: Callable[[Any], Said],
        modes: Modes,
        known: Known | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.said, self.modes, self.known = said, modes, known
        self.clock, self._last = clock, clock()

    def __call__(self, trainer: Any, trajectories: Trajectories[Any], record: Any) -> None:
        """See the molecules of a batch."""
        said = self.said(trajectories.final_states) if len(trajectories) else ([], [])
        self._see(trainer.ranks.gather(said))

    def see(self, objects: Any) -> None:
        """See B finished objects."""
        self._see([self.said(objects)])

    def _see(self, parts: list[Said]) -> None:
        if self.known is not None:
            self.known.read()
        now = self.clock()
        spent, self._last = now - self._last, now
        for smiles, rewards in parts:
            self.modes.see(smiles, rewards, spent)
            spent = 0.0

    def numbers(self) -> dict[str, float]:
        """What an evaluation says of all that was seen."""
        if self.known is not None:
            self.known.read()
        modes = self.modes
        found: dict[str, float] = {"modes": len(modes.modes), "scaffolds": len(modes.scaffolds)}
        for count, (drawn, _) in modes.reached.items():
            found[f"molecules_to_{count}_modes"] = drawn
        if self.known is not None and modes.above:
            new = sum(smiles not in self.known for smiles in modes.above)
            found["novel"] = new / len(modes.above)
        return found

    def novelty(self, sample: list[str], best: list[str]) -> dict[str, float]:
        """How much of a sample and of the best is new; nothing where no file says what is known.

        Args:
            sample: SMILES, of which each counts once.
            best: SMILES of distinct molecules.
        """
        if self.known is None or not best:
            return {}
        different, known = dict.fromkeys(sample), self.known
        return {
            "sample_novel": sum(text not in known for text in different) / len(different),
            "top100_novel": sum(text not in known for text in best) / len(best),
            "top100_nearest_known": sum(map(known.nearest, best)) / len(best),
        }

    def report(self) -> str:
        """Some lines for the end of a run."""
        modes = self.modes
        lines = [
            f"of {modes.drawn} molecules drawn {len(modes.above)} different ones have rewards "
            f"above {modes.reward:g}: {len(modes.modes)} modes (similarities below "
            f"{modes.similarity:g}), {len(modes.scaffolds)} scaffolds"
        ]
        lines += [
            f"  {count} modes after {drawn} molecules, {seconds:.1f} CPU s"
            for count, (drawn, seconds) in modes.reached.items()
        ]
        if self.known is not None and modes.above:
            share = self.numbers()["novel"]
            lines.append(f"  {share:.1%} of them are not among the {len(self.known)} known ones")
        return "\n".join(lines)

    def state_dict(self) -> dict[str, Any]:
        """What was seen."""
        return self.modes.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; the clock goes on from now."""
        self.modes.load_state_dict(state)
        self._last = self.clock()


def judge_of(trainer: Any) -> MoleculeJudge | None:
    """The judge among the callbacks of a trainer."""
    return next((one for one in trainer.callbacks if isinstance(one, MoleculeJudge)), None)


@dataclass(frozen=True)
class JudgedMolecules:
    """Options of tasks whose objects are molecules: what counts as good, alike and new.

    Attributes:
        mode_reward: Molecules whose reward is larger are counted as modes, if they are unlike each
            other; of sEH 0.875 and 1 are those of the papers (7 and 8).
        mode_similarity: Tanimoto similarity from which two molecules are no different modes.
        known: A file of known molecules (SMI, CSV, SDF; docs/topics/files.md): which share of the
            good ones is not in it, and how near the best are to it.
    """

    mode_reward: NotNegative = 0.9
    mode_similarity: Probability = 0.7
    known: str = ""

    def watchers(
        self, env: Any, rewards: Callable[[Any], Tensor] | None = None
    ) -> list[TrainingCallback]:
        """A judge; see `Task.watchers`. Of several scores the mean counts."""
        own: Any = self

        def said(objects: Any) -> Said:
            if rewards is not None:
                return own.object_smiles(env, objects), rewards(objects).tolist()
            records = env.records(objects)
            return [record.smiles for record in records], [record.value for record in records]

        modes = Modes(self.mode_reward, self.mode_similarity)
        return [MoleculeJudge(said, modes, Known(self.known) if self.known else None)]
