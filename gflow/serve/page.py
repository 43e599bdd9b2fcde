"""The pages: the list of runs, and the page of a run with what it is doing above."""

from html import escape
from pathlib import Path

from gflow.report import single
from gflow.report.html import HERE as REPORT
from gflow.report.html import document
from gflow.serve.state import Seen

HERE = Path(__file__).parent
STYLE, SCRIPT = HERE / "live.css", HERE / "live.js"


def inner_script() -> str:
    """The script that stands in every page."""
    return (REPORT / "page.js").read_text()


def listing(root: Path, token: str) -> str:
    """The page of all runs; its rows come by the script."""
    name = root.name or str(root)
    body = (
        f"<header><h1>{escape(name)}</h1><p>{escape(str(root))}</p></header>"
        '<p id="note" role="status"></p>'
        '<section id="runs"><div class="scroll"><table class="runs"><caption>Runs</caption><thead>'
        '<tr><th scope="col">run</th><th scope="col">state</th><th scope="col">step</th>'
        '<th scope="col">metrics</th><th scope="col">last change</th>'
        '<th scope="col"><span class="quiet">stop, resume</span></th></tr></thead>'
        "<tbody></tbody></table></div></section>"
    )
    return _live(document(f"{name}: gflow", body), token, "")


def of_run(seen: Seen, token: str) -> str:
    """The page of a run: its report, with its state and buttons on top."""
    bar = (
        '<nav id="bar"><a href="/">All runs</a><span id="state" role="status"></span>'
        '<span id="buttons"></span></nav><p id="note" role="status"></p>'
    )
    return _live(single.page(seen.facts).replace("<main>", f"<main>{bar}", 1), token, seen.name)


def parts(seen: Seen) -> dict[str, str]:
    """The parts of a run's page that change while it trains."""
    run = seen.facts
    return {
        "opening": single.opening(run),
        "results": single.headline(run),
        "curves": single.charts([run]),
    }


def _live(page: str, token: str, name: str) -> str:
    quoted = escape(name, quote=True)
    head = (
        f'<meta name="gflow-token" content="{token}"><meta name="gflow-run" content="{quoted}">'
        '<link rel="stylesheet" href="/live.css"></head>'
    )
    page = page.replace("</head>", head, 1)
    return page.replace("</body>", '<script src="/live.js"></script></body>', 1)
