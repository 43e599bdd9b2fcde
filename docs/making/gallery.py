"""Draws the pictures of the gallery, into docs/pictures/gallery, by short runs of the tasks.

    python docs/making/gallery.py               all of them, some minutes of one core
    python docs/making/gallery.py dags rna      some

Each is a picture that `gflow train` leaves in the run's folder, made small.
"""

import sys
import tempfile
from pathlib import Path

from gflow.cli.main import main as gflow

FOLDER = Path(__file__).parents[1] / "pictures" / "gallery"

SHOWN = {
    "molecules": ("molecules --steps 40", "molecules.png"),
    "atoms": ("atoms --steps 30", "molecules.png"),
    "dags": ("dags --steps 150", "edges.png"),
    "box": ("box --steps 200", "samples.png"),
    "torus": ("torus --steps 150", "density.png"),
    "diffusion": ("diffusion --target gmm9 --steps 400", "samples.png"),
    "tictactoe": ("tictactoe --steps 100", "line_of_play.png"),
    "digits": ("digits --steps 400", "gallery.png"),
    "ebgfn": ("ebgfn --data 2spirals --steps 500", "density.png"),
    "mixture": ("mixture --steps 400", "mixture.png"),
    "marginals": ("marginals --steps 200", "lattices.png"),
    "integers": ("integers --steps 30", "integers.png"),
    "landscapes": ("landscapes --steps 100", "front.png"),
    "stochastic-grid": ("stochastic-grid --steps 100", "distribution.png"),
}
"""Flags of `gflow train`, and the picture of the run that is taken."""


def main(names: list[str]) -> int:
    """Draws those named, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (words, picture) in SHOWN.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            code = gflow(["train", *words.split(), "--out", str(out), "--quiet"])
            if code:
                return code
            small(out / picture, FOLDER / f"{name}.png")
        print(f"docs/pictures/gallery/{name}.png")
    return 0


def small(source: Path, path: Path, width: int = 800, colours: int = 48) -> None:
    """Writes a picture with few colours, at most so wide."""
    from PIL import Image

    with Image.open(source) as whole:
        image = whole.convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)))
    image.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
