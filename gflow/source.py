"""Where trajectories come from: what a behaviour gives, and what an objective may learn from."""

from enum import Flag, auto


class Source(Flag):
    """Laws of trajectories; members are combined with ``|``.

    Attributes:
        OWN: The policy's, as it is at that step.
        EXPLORED: The policy's with noise, epsilon, a temperature and the like.
        OTHER: Any other with full support: searched, cut, relabelled, drawn by reward.
        REPLAYED: Seen earlier in the run, and drawn as often as seen.
        TARGET: Drawn with P_B from exact samples of the target, or from data that stand for it.
        ANY: All of these.
    """

    OWN = auto()
    EXPLORED = auto()
    OTHER = auto()
    REPLAYED = auto()
    TARGET = auto()
    ANY = OWN | EXPLORED | OTHER | REPLAYED | TARGET

    @property
    def explored(self) -> "Source":
        """The same where the policy is explored."""
        return (self & ~Source.OWN) | Source.EXPLORED if Source.OWN in self else self


ELSEWHERE = "or use tb or vargrad, which learn from any trajectories."


def source_refusal(gives: Source, learns: Source) -> str | None:
    """Why an objective that learns from `learns` cannot take what `gives`, or None if it can."""
    wrong = gives & ~learns
    if not wrong:
        return None
    if Source.TARGET in learns and Source.OWN not in learns and wrong != Source.REPLAYED:
        return (
            "the objective learns from trajectories that end in exact samples of the target, "
            "or in data. Use the behaviour exact, or backward_replay with share=1."
        )
    if Source.OTHER in wrong or wrong & (Source.OWN | Source.TARGET):
        return "the objective learns from its own policy's trajectories only. Use on_policy."
    what, off = "replay", "replay=0"
    if Source.EXPLORED in wrong:
        what, off = "exploration", "noise=0, epsilon=0 and the like"
    return (
        f"the objective learns from samples of one distribution, and {what} would mix in others: "
        f"switch it off ({off}), {ELSEWHERE}"
    )
