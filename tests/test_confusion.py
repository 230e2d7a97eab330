"""The confusion matrix, beside scikit-learn's and torchmetrics'."""

import pytest
import torch
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torch import Generator
from torchmetrics.functional.classification import multiclass_confusion_matrix

from vaebench.evaluation.confusion import accuracy, confusion_matrix


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
