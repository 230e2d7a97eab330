"""The confusion matrix, beside scikit-learn's and torchmetrics'."""

import pytest
import torch
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torch import Generator
from torchmetrics.functional.classification import multiclass_confusion_matrix

from vaebench.evaluation.confusion import ConfusedPair, accuracy, confusion_matrix, most_confused


@pytest.mark.parametrize("count", [1, 10, 1000])
@pytest.mark.parametrize("classes", [1, 3, 10])
def test_matrix_and_accuracy_are_those_of_others(count: int, classes: int) -> None:
    generator = Generator().manual_seed(count)
    labels, readings = torch.randint(classes, (2, count), generator=generator)
    confusion = confusion_matrix(labels, readings)
    assert (confusion.shape, confusion.dtype) == ((10, 10), torch.int64)
    expected = sklearn_confusion_matrix(labels.numpy(), readings.numpy(), labels=range(10))
    assert confusion.tolist() == expected.tolist()
    assert torch.equal(confusion, multiclass_confusion_matrix(readings, labels, num_classes=10))
    assert accuracy(confusion) == accuracy_score(labels.numpy(), readings.numpy())


def test_row_is_the_true_digit() -> None:
    # Two sevens are taken for nines, and no nine for a seven.
    confusion = confusion_matrix(torch.tensor([7, 7, 7, 9]), torch.tensor([9, 9, 7, 9]))
    assert confusion[7, 9] == 2
    assert confusion[9, 7] == 0
    assert confusion.sum(1).tolist() == [0, 0, 0, 0, 0, 0, 0, 3, 0, 1]
    assert confusion.sum() == 4


def test_ends_of_the_accuracy() -> None:
    labels = torch.arange(10).repeat(3)
    assert accuracy(confusion_matrix(labels, labels)) == 1.0
    assert accuracy(confusion_matrix(labels, (labels + 1) % 10)) == 0.0
    assert isinstance(accuracy(confusion_matrix(labels, labels)), float)


def test_accuracy_weighs_images_not_digits() -> None:
    labels = torch.tensor([0] * 8 + [1] * 2)
    assert accuracy(confusion_matrix(labels, torch.zeros_like(labels))) == 0.8


def test_most_confused_pairs_by_hand() -> None:
    counts = torch.diag(torch.full((10,), 90))
    counts[7, 9], counts[9, 7] = 10, 30  # 10 of 100 sevens, 30 of 120 nines
    counts[3, 5] = 10  # 10 of 100 threes, and no five
    found = most_confused(counts, 3)
    assert [(pair.first, pair.second) for pair in found] == [(7, 9), (3, 5), (0, 1)]
    assert [pair.rate for pair in found] == pytest.approx([(0.1 + 0.25) / 2, 0.05, 0])


@pytest.mark.parametrize("scale", [1, 0.01])
def test_most_confused_are_those_of_a_plain_search(scale: float) -> None:
    """Of counts and of shares; every pair once, by falling rate."""
    matrix = scale * torch.randint(100, (10, 10), generator=Generator().manual_seed(0))
    rows = [[float(each) / float(sum(row)) for each in row] for row in matrix]
    expected = {(a, b): (rows[a][b] + rows[b][a]) / 2 for a in range(10) for b in range(a + 1, 10)}
    found = most_confused(matrix, 100)
    assert {(pair.first, pair.second): pair.rate for pair in found} == pytest.approx(expected)
    assert [pair.rate for pair in found] == sorted((pair.rate for pair in found), reverse=True)
    assert len(found) == 45
    assert most_confused(matrix, 4) == found[:4]
    assert most_confused(matrix.T.contiguous().T, 4) == found[:4]  # however it lies in memory


def test_relabelling_the_digits_relabels_the_pairs() -> None:
    matrix = torch.randint(100, (10, 10), generator=Generator().manual_seed(0))
    order = torch.randperm(10, generator=Generator().manual_seed(1))
    expected = [({pair.first, pair.second}, pair.rate) for pair in most_confused(matrix, 45)]
    found = most_confused(matrix[order][:, order], 45)
    places = order.tolist()
    assert [({places[pair.first], places[pair.second]}, pair.rate) for pair in found] == expected


def test_pairs_of_equal_rate_come_by_digit() -> None:
    pairs = [(pair.first, pair.second) for pair in most_confused(torch.full((4, 4), 0.25), 6)]
    assert pairs == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_digit_that_does_not_occur_is_confused_by_others_alone() -> None:
    counts = torch.diag(torch.full((10,), 80))
    counts[4] = 0
    counts[9, 4] = 20
    pairs = most_confused(counts, 45)
    assert pairs[0] == ConfusedPair(4, 9, 0.1)
    assert all(pair.rate == 0 for pair in pairs[1:])
    nothing = most_confused(torch.zeros(10, 10, dtype=torch.int64), 2)
    assert nothing == [ConfusedPair(0, 1, 0), ConfusedPair(0, 2, 0)]
