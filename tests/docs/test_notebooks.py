"""The notebooks run from top to bottom, in a real kernel, from an empty folder."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def test_there_are_three_without_outputs() -> None:
    """Outputs are not kept in git: the test makes them."""
    assert [path.stem for path in NOTEBOOKS] == ["first_sampler", "molecules", "own_environment"]
    for path in NOTEBOOKS:
        book = json.loads(path.read_text())
        code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        assert len(code) >= 4
        assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
        assert path.stat().st_size < 20_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the kernel's client are not ours
def test_notebooks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one kernel, whose names are cleared between: starting one takes seconds."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("rdkit")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.v4.new_notebook()
    ends = []
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        book.cells += [cell for cell in cells if cell.cell_type == "code"]
        book.cells.append(nbformat.v4.new_code_cell("%reset -f"))
        ends.append(len(book.cells))
    client = nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [str(cell.get("outputs")) for cell in book.cells]
    first, second, third = (
        " ".join(shown[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)
    )
    assert "image/png" in first, "the distributions as pictures"
    assert "image/png" in second, "molecules, drawn"
    assert "num_states=21" in third, "sets of places without neighbours: a Fibonacci number"
