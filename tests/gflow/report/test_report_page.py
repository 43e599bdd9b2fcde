"""The page of a run: what it tells, from which files, and that nothing else is needed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gflow.cli.main import main
from gflow.errors import ConfigError, FolderError
from gflow.report import page_of, write_report
from gflow.report.chart import Line, chart, is_logarithmic, powers, short, ticks
from gflow.report.definitions import TABLE, definition
from gflow.report.folder import RunFacts
from gflow.report.html import table
from tests.gflow.report.folders import PIXEL, run_folder

ROOT = Path(__file__).parents[3]


def test_a_page_tells_what_the_folder_does(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    page = page_of([run])
    assert "finished after 200 steps, 2 min" in page
    assert "gflow train hypergrid --lr 0.001" in page
    assert page.count('<svg class="chart"') == 2, "loss has one finite value, which is no curve"
    assert "untrained 0, exact 3.1" in page
    assert "tv, logarithmic scale; 0.8 at step 0, 0.01 at step 200" in page
    assert 'data-tip="tv: total variation, half the sum' in page
    assert "resumed at step 100" in page
    assert "<td>NaN</td>" not in page
    assert page.count("data:image/png;base64,") == 1


def test_text_of_a_folder_is_no_markup(tmp_path: Path) -> None:
    page = page_of([run_folder(tmp_path / "run")])
    assert "<b>," not in page
    assert "Cells of a grid &lt;b&gt;" in page
    assert "<i>(3, 3)</i>" not in page
    assert "&lt;i&gt;(3, 3)&lt;/i&gt;" in page


def test_nothing_is_fetched(tmp_path: Path) -> None:
    page = page_of([run_folder(tmp_path / "run")])
    links = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert links
    assert all(link.startswith("data:") for link in links)
    assert "@import" not in page
    assert "url(" not in page


def test_a_run_under_way_has_a_page(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", finished=False, steps=1000)
    (run / "about.json").unlink()
    (run / "objects.jsonl").unlink()
    page = page_of([run])
    assert "at step 200 of 1000" in page
    assert "<b>0.01</b>" in page
    assert 'id="objects"' not in page


def test_pictures_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "large.png").write_bytes(PIXEL + bytes(4_000_000))
    page = page_of([run])
    assert "Too large for this page: large.png." in page
    assert len(page.encode()) < 5_000_000


def test_pictures_fill_the_room_together(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    for name in ("a", "b"):
        (run / f"{name}.png").write_bytes(PIXEL + bytes(1_500_000))
    page = page_of([run])
    assert "Too large for this page: b.png." in page
    assert len(page.encode()) < 5_000_000


def test_what_a_cell_says_is_no_markup() -> None:
    assert "<td>&lt;b&gt;</td>" in table(["x"], [["<b>"]], "a table")


def test_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    for number, lr in enumerate((0.001, 0.01)):
        for seed in (0, 1):
            run_folder(sweep / f"{number}{seed}", lr, seed, finished=not seed)
    write_report([sweep / "00"])
    page = page_of([sweep])
    assert "4 runs, 2 of them finished" in page
    heads = re.findall(r"<button type=\"button\">(.*?)</button>", page)
    assert heads[:4] == ["run", "lr", "seed", "step"], "what differs, and nothing else"
    assert '<a href="00/report.html">00</a>' in page
    assert 'href="01' not in page, "it has no page"
    assert page.count("<polyline") == 8
    (sweep / "results.png").write_bytes(PIXEL)
    other = yaml.safe_load((sweep / "11" / "config.yaml").read_text())
    other["objective"]["name"] = "db"
    (sweep / "11" / "config.yaml").write_text(yaml.safe_dump(other))
    heads = re.findall(r"<button type=\"button\">(.*?)</button>", page_of([sweep]))
    assert set(heads[:5]) == {"run", "lr", "seed", "objective", "step"}, "parts by what they are"
    assert "The metric of the sweep" in page_of([sweep])
    two = page_of([sweep / "00", sweep / "11"])
    assert "2 runs, 1 of them finished" in two


def test_a_page_needs_no_torch(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gflow.cli.main import main\n"
        f"raise SystemExit(main(['report', {str(run)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == f"report: {run / 'report.html'}\n"
    assert (run / "report.html").read_text().startswith("<!doctype html>")


def test_folders_without_runs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"holds no run\. There is no config.yaml in it"):
        page_of([tmp_path])
    assert main(["report"]) == 2
    assert "needs FOLDER" in capsys.readouterr().err
    run = run_folder(tmp_path / "run")
    with pytest.raises(FolderError, match="Name another file with --out FILE"):
        write_report([run], tmp_path / "none" / "page.html")
    (run / "config.yaml").write_text("[")
    with pytest.raises(ConfigError, match="cannot be read"):
        page_of([run])


def test_definitions_are_those_of_the_docs() -> None:
    docs = (ROOT / "docs" / "topics" / "metrics.md").read_text()
    rows = [list(row) for row in re.findall(r"^\| (`.*?) \| (.*) \|$", docs, re.M)]
    assert json.loads(TABLE.read_text()) == rows


@pytest.mark.parametrize(
    ("metric", "environment", "begins"),
    [
        ("tv", "hypergrid", "total variation"),
        ("tv_at_2", "hypergrid", "total variation"),
        ("second_wins", "tictactoe", "games: shares of matches"),
        ("jsd", "hypergrid", "Jensen-Shannon"),
        ("jsd", "box", "of a histogram"),
        ("test_nll", "digits", "mean of"),
        ("test_nll", "grammar", "grammar, by the inside"),
        ("modes", "reactions", "of all molecules drawn"),
        ("modes", "diffusion", "different modes among"),
        ("molecules_to_1000_modes", "molecules", "molecules drawn until"),
        ("nothing", "hypergrid", ""),
    ],
)
def test_a_metric_means_what_it_does_there(metric: str, environment: str, begins: str) -> None:
    found = definition(metric, environment)
    assert found.startswith(begins)
    assert bool(found) == bool(begins)


def test_exact_values_are_those_of_the_run(tmp_path: Path) -> None:
    run = RunFacts.read(run_folder(tmp_path / "run"))
    assert run.exact == {"log_z": 3.1, "tv": 0.0}
    assert run.curve("loss") == [(100, 4.0)]
    assert run.names == ["tv", "log_z", "loss"]


def test_a_histogram_is_not_said_to_be_exact(tmp_path: Path) -> None:
    """Where log Z alone is known, `jsd` is that of a sample, which is never zero."""
    folder = run_folder(tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_text())
    summary["metrics"] = {"jsd": 0.02, "log_z": 3.0, "log_z_error": 0.1}
    (folder / "summary.json").write_text(json.dumps(summary))
    assert RunFacts.read(folder).exact == {"log_z": 3.1, "log_z_error": 0.0}


def test_points_of_a_chart_are_where_they_belong() -> None:
    svg = chart("x", [Line("a", [(0, 0.0), (100, 4.0)])], exact=8.0)
    points = re.search(r'<polyline class="line" points="([^"]*)"', svg)
    assert points is not None
    (left, low), (right, half) = (map(float, p.split(",")) for p in points[1].split())
    assert (left, right) == (52.0, 332.0)
    exact = re.search(r'class="exact" x1="52" x2="332" y1="([\d.]*)"', svg)
    assert exact is not None
    top = float(exact[1])
    assert (low - half) == pytest.approx(half - top), "four lies half-way to eight"
    assert top < half < low


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (90, 400, [100, 200, 300, 400]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_scales_of_powers() -> None:
    assert is_logarithmic("log_z_error", [1, 31])
    assert not is_logarithmic("loss", [1, 29])
    assert not is_logarithmic("loss", [0, 100])
    assert not is_logarithmic("mean_log_reward", [1, 100])
    assert powers(-2, 1) == pytest.approx([0.01, 0.1, 1, 10])
    assert powers(0, 1) == pytest.approx([1, 2, 5, 10])
    assert [short(v) for v in (3, 3.0, 0.123456, 1e-13, "x", float("inf"))] == [
        "3", "3", "0.1235", "1.0e-13", "x", "inf",
    ]  # fmt: skip


def test_numbers_of_a_run_that_is_extended(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", steps=400)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 300, "tv": 0.004}\n')
    run = RunFacts.read(folder)
    assert run.metrics == {"tv": 0.004}, "not those of its end before"
    assert (run.step, run.finished) == (300, False)


def test_a_run_that_ended_early_is_finished(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", steps=400)
    assert not RunFacts.read(folder).finished
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "ended": "no improvement"}))
    assert RunFacts.read(folder).finished
