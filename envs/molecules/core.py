"""Scaffolds held fixed: the fragment with which every molecule begins."""

from collections.abc import Sequence

from gflow.envs.molecules.fragments import ANY_LABEL, Fragment, compatible_labels, make_fragment
from gflow.envs.molecules.vocabulary import unmatched_port
from gflow.errors import ConfigError


def core_fragment(smiles: str, fragments: Sequence[Fragment]) -> Fragment:
    """A core from SMILES whose dummy atoms are its ports.

    A port without a label bonds to whatever bonds to anything: cores need not know the BRICS rules.

    Args:
        smiles: As ``"*c1ccc2[nH]cc(*)c2c1"``; labels (``[16*]``) restrict a port as in fragments.
        fragments: What may be bonded to it.

    Raises:
        ConfigError: It is no fragment, or nothing with one port bonds to one of its ports.
    """
    try:
        core = make_fragment(smiles)
    except ConfigError as error:
        reason = str(error).removeprefix("make_fragment: ")
        raise ConfigError(
            f"core: {reason} Write a '*' where something is to be attached, as in 'c1cc(*)ncc1*'."
        ) from error
    present = {x for f in fragments for labels in f.labels for x in labels}
    any_of_them = tuple(sorted({a for a, b in compatible_labels() if b in present}))
    labels = [any_of_them if own == (ANY_LABEL,) else own for own in core.labels]
    made = Fragment(core.smiles, tuple(labels), core.group, core.orbits)
    bad = unmatched_port(made, fragments)
    if bad is not None:
        raise ConfigError(
            f"core: port {bad[0]} of {core.smiles!r} may bond to no fragment with one port, so no "
            f"molecule could be finished. Add one to the fragments, or leave out the port's label."
        )
    return made
