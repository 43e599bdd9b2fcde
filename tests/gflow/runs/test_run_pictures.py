"""What pictures of a run say: the data in them, their labels and captions."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.cli.main import main
from gflow.envs.graphs.chosen import chosen_nodes, layout
from gflow.envs.phylogeny.draw import place, tree_of
from gflow.envs.sequences.draw import frequencies, information, letter_heights
from gflow.envs.sequences.structure import pairs_of
from gflow.envs.sets.draw import mean_counts
from gflow.report.folder import RunFacts
from gflow.report.single import page
from gflow.tasks.histogram import WIDE, clipped, edges_of, text_table, weights_in
from gflow.tasks.pictures import heatmaps, pyplot


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_letters_of_a_place_sum_to_its_information() -> None:
    tokens = torch.tensor([[0, 0, 3], [0, 1, 4], [0, 2, 4], [0, 3, 3]])
    found = frequencies(tokens, 4)
    assert found[1].tolist() == [0.25] * 4
    assert found[2].tolist() == [0, 0, 0, 1]  # blanks do not count
    assert information(found).tolist() == pytest.approx([2, 0, 2])
    half = frequencies(tokens[:2], 4)
    assert information(half).tolist() == pytest.approx([2, 1, 2])
    assert torch.allclose(letter_heights(half).sum(-1), information(half))
    weighted = frequencies(tokens, 4, tensor(0.5, 0.5, 0, 0))
    assert torch.allclose(weighted, half)
    assert information(frequencies(torch.tensor([[4]]), 4)).tolist() == [0]


def test_histograms_hold_all_weight() -> None:
    values, weights = tensor(0, 1, 1, 3, -torch.inf), tensor(1, 2, 3, 2, 2)
    edges = edges_of(values)
    assert torch.allclose(edges, tensor(-0.5, 0.5, 1.5, 2.5, 3.5))  # a bin for each value
    assert weights_in(values, weights, edges).tolist() == pytest.approx([0.1, 0.5, 0, 0.2])
    many = torch.linspace(0, 1, 200).double() ** 2
    assert len(edges_of(many)) == 31
    assert float(weights_in(many, torch.ones(200), edges_of(many)).sum()) == pytest.approx(1)
    assert edges_of(tensor(2.0)).tolist() == [1.5, 2.5]


def test_counts_of_items_are_weighted() -> None:
    counts = torch.tensor([[1, 0], [1, 2]])
    assert mean_counts(counts).tolist() == [1, 1]
    assert mean_counts(counts, tensor(0.25, 0.75)).tolist() == [1, 1.5]


def test_pairs_of_a_structure() -> None:
    assert sorted(pairs_of("((.)).()")) == [(0, 4), (1, 3), (6, 7)]


def test_trees_are_drawn_with_clades_between_their_children() -> None:
    # Leaf 1 goes into 0, then 3 into 2, then 2 into 0: ((0, 1), (2, 3)).
    tree = tree_of([4, 0, 0, 2], [0, 2, 4, 2], ["a", "b", "c", "d"])
    order = place(tree)
    assert [node.name for node in order if node.name] == ["a", "b", "c", "d"]
    inner = [(node.x, node.y) for node in order if not node.name]
    assert inner == [(-1, 0.5), (-1, 2.5), (-2, 1.5)]


def test_chosen_nodes_are_marked_and_apart() -> None:
    ring = torch.zeros(6, 6, dtype=torch.bool)
    for i in range(6):
        ring[i, (i + 1) % 6] = ring[(i + 1) % 6, i] = True
    places = layout(ring)
    apart = torch.cdist(places, places) + 9 * torch.eye(6)
    assert float(apart.min()) > 0.3
    assert float(places.abs().max()) == pytest.approx(1)
    chosen = torch.tensor([True, False, True, False, False, False])
    picture = chosen_nodes([(ring, chosen, "2 of 6")], "a ring")
    axis = picture.figure.axes[0]
    outside, inside = axis.collections
    assert torch.equal(torch.tensor(inside.get_offsets()), places[chosen])
    assert len(outside.get_offsets()) == 4
    assert len(axis.lines) == 6
    pyplot().close(picture.figure)


def test_lines_of_a_table_are_cut_and_do_not_overlap() -> None:
    assert clipped("a\n\n b ") == "a / b"
    assert len(clipped("x" * 500)) == WIDE
    rows = [("1.0", "$x^2$"), ("0.5", "y" * 200)]
    picture = text_table(rows, ("log R", "object"), "two")
    figure = picture.figure
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in figure.texts]
    assert figure.texts[1].get_text().endswith("$x^2$")  # as it is, no formula
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.x1 < figure.bbox.x1 for box in boxes)
    pyplot().close(figure)


def test_labels_of_matrices_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    plt = pyplot()
    monkeypatch.setattr(plt, "close", kept.append)
    names = [f"a long name {i}" for i in range(20)]
    heatmaps({"learned": torch.eye(20)}, tmp_path / "a.png", ("cause", "effect"), names)
    monkeypatch.undo()
    axis = kept[0].axes[0]
    renderer = kept[0].canvas.get_renderer()
    for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
        boxes = [label.get_window_extent(renderer) for label in labels]
        assert all(not a.overlaps(b) for a, b in pairwise(boxes))
    plt.close(kept[0])


def test_a_run_has_pictures_with_captions_and_shows_them(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", "sets", "--items=4", "--size=2", "--width=8", "--steps=2", "--quiet"]
    assert main([*words, "--eval-samples=20", "--out", str(folder)]) == 0
    captions = json.loads((folder / "captions.json").read_text())
    assert list(captions) == ["rewards", "items", "best_objects"]
    assert all((folder / f"{name}.png").stat().st_size > 2000 for name in captions)
    assert "outlined, the exact target" in captions["rewards"]
    run = RunFacts.read(folder)
    assert run.captions == captions
    assert f'alt="{captions["items"]}"' in page(run)


def test_pictures_of_artifacts_have_captions(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", "hypergrid", "--side=3", "--width=8", "--steps=2", "--quiet"]
    assert main([*words, "--eval-samples=20", "--out", str(folder)]) == 0
    captions = json.loads((folder / "captions.json").read_text())
    assert list(captions) == ["distribution", "rewards", "best_objects"]
    assert captions["distribution"] == "Exact and learned probability of each cell."
