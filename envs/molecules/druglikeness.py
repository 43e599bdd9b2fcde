"""QED as RDKit defines it, with fewer calls: all structural alerts at once, nothing copied."""

from functools import cache
from typing import Any

from gflow.envs.molecules.extras import rdkit


def qed(molecule: Any) -> float:
    """What ``rdkit.Chem.QED.qed`` returns, to the last bit, in about two thirds of its time.

    RDKit asks for its 116 structural alerts one by one, and for its eleven kinds of acceptors
    twice each. Here a catalogue counts the alerts in one call. The kinds of acceptors exclude each
    other, so the atoms that any of them matches are as many as all their matches.
    """
    source = rdkit("rdkit.Chem.QED")
    return float(source.qed(molecule, qedProperties=_parts(molecule)))


def _parts(molecule: Any) -> Any:
    """The eight numbers that QED combines."""
    chem, source = rdkit(), rdkit("rdkit.Chem.QED")
    counts = rdkit("rdkit.Chem.rdMolDescriptors")
    if molecule.GetNumAtoms() > molecule.GetNumHeavyAtoms():  # hydrogens, or dummies beside them
        molecule = chem.RemoveHs(molecule)
    rest = chem.DeleteSubstructs(molecule, source.AliphaticRings)
    return source.QEDproperties(
        MW=rdkit("rdkit.Chem.Descriptors").MolWt(molecule),
        ALOGP=rdkit("rdkit.Chem.Crippen").MolLogP(molecule),
        HBA=len(molecule.GetSubstructMatches(_acceptors(), maxMatches=molecule.GetNumAtoms() + 1)),
        HBD=counts.CalcNumHBD(molecule),
        PSA=rdkit("rdkit.Chem.MolSurf").TPSA(molecule),
        ROTB=counts.CalcNumRotatableBonds(molecule, counts.NumRotatableBondsOptions.Strict),
        AROM=len(chem.GetSSSR(rest)),
        ALERTS=len(_alerts().GetMatches(molecule)),
    )


@cache
def _acceptors() -> Any:
    """One atom that is an acceptor of any kind."""
    kinds = rdkit("rdkit.Chem.QED").AcceptorSmarts
    return rdkit().MolFromSmarts("[" + ",".join(f"$({kind})" for kind in kinds) + "]")


@cache
def _alerts() -> Any:
    """The structural alerts as one catalogue."""
    module = rdkit("rdkit.Chem.FilterCatalog")
    catalogue = module.FilterCatalog()
    for number, pattern in enumerate(rdkit("rdkit.Chem.QED").StructuralAlerts):
        matcher = module.SmartsMatcher(str(number), pattern, 1)
        catalogue.AddEntry(module.FilterCatalogEntry(str(number), matcher))
    return catalogue
