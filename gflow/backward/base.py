"""What a backward policy by name is: how P_B comes about beside a policy, and what fits it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from gflow.environment.base import Environment
from gflow.learner import Learner
from gflow.policies.base import Backward, Policy

Start = Literal["random", "uniform"]
"""Initial weights of the last layer of a backward head: as drawn, or zero."""


class BackwardPolicy(ABC):
    """How P_B comes about: from the policy itself, or from a second network and what fits that.

    A class in a file of `gflow.backward` is all that a new one needs: its arguments become the
    flags `--backward-...`.

    Attributes:
        name: As in ``--backward name``.
        head: The backward policy that the policy itself is built with.
        network: What the second network gives: nothing (there is none), backward logits, or log
            F(s).
    """

    name: ClassVar[str]
    head: ClassVar[Backward]
    network: ClassVar[Literal["none", "backward", "log_flow"]] = "none"

    @abstractmethod
    def attach(
        self, env: Environment[Any], policy: Policy, network: Policy | None
    ) -> tuple[Policy, list[Learner]]:
        """The policy to train, and the learners that fit its P_B.

        Args:
            env: The environment.
            policy: Gives P_F and log F; built with `head`.
            network: The second network, if there is to be one.
        """


def start_at(start: Start, network: Policy) -> None:
    """Zero the last layer of a learned backward head, if it is to start uniform."""
    if start == "uniform" and network.backward == "learned":
        network.zero_backward_head()
