"""Neighbours and the linear probe: by hand, by a plain sort, and by gradient descent to the same minimum."""

from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import make_blobs
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from vaebench.evaluation.probes import neighbour_hits, probe_hits

Points = tuple[Tensor, Tensor, Tensor, Tensor]
Hits = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def blobs(latent_dim: int, spread: float = 1.0, classes: int = 10) -> Points:
    """800 training and 200 test points around a centre a class."""
    points, labels = make_blobs(1000, latent_dim, centers=classes, cluster_std=spread, random_state=0)
    latents, digits = torch.from_numpy(points).float(), torch.from_numpy(labels)
    return latents[:800], digits[:800], latents[800:], digits[800:]


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("neighbours", [1, 5, 8])
@pytest.mark.parametrize("latent_dim", [2, 20])
def test_neighbours_are_those_of_a_plain_sort(latent_dim: int, neighbours: int) -> None:
    points, labels, others, truth = blobs(latent_dim, spread=4.0 * latent_dim**0.5)
    nearest = torch.cdist(others.double(), points.double()).argsort(1)[:, :neighbours]
    votes = torch.nn.functional.one_hot(labels[nearest], 10).sum(1)
    expected = votes.argmax(1) == truth  # the first of equals
    hits = neighbour_hits(points, labels, others, truth, neighbours)
    assert (hits.shape, hits.dtype) == ((200,), torch.bool)
    assert torch.equal(hits, expected)
    assert 0.2 < hits.double().mean() < 1


def test_neighbours_by_hand() -> None:
    points = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
    labels = torch.tensor([7, 7, 9, 9, 9])
    others = torch.tensor([[0.5], [10.5], [3.0]])
    assert neighbour_hits(points, labels, others, torch.tensor([7, 9, 7]), 3).tolist() == [True, True, True]
    assert neighbour_hits(points, labels, others, torch.tensor([7, 9, 7]), 1).tolist() == [True, True, False]
    # All five vote where more are asked for than there are.
    assert neighbour_hits(points, labels, others, torch.tensor([9, 9, 9]), 50).tolist() == [True] * 3


def standardised(points: Tensor, by: Tensor) -> Tensor:
    return (points.double() - by.double().mean(0)) / by.double().std(0, correction=0)


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("latent_dim", [2, 6])
def test_probe_finds_the_minimum_of_the_penalised_loss(latent_dim: int) -> None:
    points, labels, others, truth = blobs(latent_dim, spread=3.0)
    inputs = standardised(points, points)
    weight = torch.zeros(latent_dim, 10, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(inputs @ weight + bias, labels, reduction="sum") + weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)
    scores = standardised(others, points) @ weight.detach() + bias.detach()
    first, second = scores.topk(2).values.unbind(1)
    sure = first - second > 0.02  # solvers stop at different points close by
    hits = probe_hits(points, labels, others, truth)
    assert torch.equal(hits[sure], (scores.argmax(1) == truth)[sure])
    assert sure.double().mean() > 0.95
    assert 0.2 < hits.double().mean() < 1


@pytest.mark.parametrize("hits_of", [neighbour_hits, probe_hits])
class TestBoth:
    def test_classes_apart_are_all_read(self, hits_of: Hits) -> None:
        points, labels, others, truth = blobs(5, spread=0.1)
        assert hits_of(points, labels, others, truth).all()

    def test_points_that_say_nothing_are_guessed(self, hits_of: Hits) -> None:
        _, labels, _, truth = blobs(3)
        noise = torch.randn(1000, 3, generator=Generator().manual_seed(0))
        share = hits_of(noise[:800], labels, noise[800:], truth).double().mean()
        assert share == pytest.approx(0.1, abs=0.07)

    def test_collapsed_units_change_nothing(self, hits_of: Hits) -> None:
        points, labels, others, truth = blobs(3, spread=4.0)
        expected = hits_of(points, labels, others, truth)
        wider = [torch.cat([each, torch.full((len(each), 2), 0.1)], dim=1) for each in (points, others)]
        assert torch.equal(hits_of(wider[0], labels, wider[1], truth), expected)

    def test_collapsed_encoder_reads_all_as_one(self, hits_of: Hits) -> None:
        _, labels, _, truth = blobs(3)
        hits = hits_of(torch.full((800, 4), 0.1), labels, torch.full((200, 4), 0.1), truth)
        assert len(truth[hits].unique()) <= 1

    def test_one_class_is_all_that_is_read(self, hits_of: Hits) -> None:
        points, labels, others, truth = blobs(3)
        hits = hits_of(points, torch.full_like(labels, 4), others, truth)
        assert torch.equal(hits, truth == 4)

    def test_class_without_training_points_is_never_read(self, hits_of: Hits) -> None:
        points, labels, others, truth = blobs(3, spread=0.1)
        kept = labels != 6
        assert torch.equal(hits_of(points[kept], labels[kept], others, truth), truth != 6)

    def test_two_classes(self, hits_of: Hits) -> None:
        points, labels, others, truth = blobs(3, spread=0.1, classes=2)
        assert hits_of(points, 7 + 2 * labels, others, 7 + 2 * truth).all()

    def test_duplicates_and_order_do_not_matter(self, hits_of: Hits) -> None:
        points, labels, others, truth = blobs(3)
        expected = hits_of(points, labels, others, truth)
        order = torch.randperm(800, generator=Generator().manual_seed(0))
        assert torch.equal(hits_of(points[order], labels[order], others, truth), expected)
        twice = hits_of(points, labels, others.repeat(2, 1), truth.repeat(2))
        assert torch.equal(twice, expected.repeat(2))

    def test_result_repeats(self, hits_of: Hits) -> None:
        points = blobs(3, spread=4.0)
        assert torch.equal(hits_of(*points), hits_of(*points))


def test_probe_does_not_mind_the_scale_of_a_unit() -> None:
    points, labels, others, truth = blobs(4, spread=3.0)
    scales = torch.tensor([1e-3, 1.0, 100.0, 7.0])
    expected = probe_hits(points, labels, others, truth)
    found = probe_hits(points * scales + 5, labels, others * scales + 5, truth)
    assert (found == expected).double().mean() > 0.99
