"""How well the digit can be told from a point of the latent space."""

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

NEIGHBOURS = 5


def neighbour_hits(
    train_points: Tensor,
    train_labels: Tensor,
    test_points: Tensor,
    test_labels: Tensor,
    neighbours: int = NEIGHBOURS,
) -> Tensor:
    """Return which test digits are those of most of their nearest training points: (M,), bool.

    By Euclidean distance. Of digits with equally many neighbours, the lowest is read.

    Args:
        train_points: (N, latent_dim), at least one.
        train_labels: their digits, (N,), int64.
        test_points: (M, latent_dim), at least one.
        test_labels: the true digits, (M,), int64.
        neighbours: that vote; all training points where there are fewer.
    """
    classifier = KNeighborsClassifier(min(neighbours, len(train_points)))
    classifier.fit(train_points.numpy(), train_labels.numpy())
    return torch.from_numpy(classifier.predict(test_points.numpy())) == test_labels


def probe_hits(
    train_points: Tensor, train_labels: Tensor, test_points: Tensor, test_labels: Tensor
) -> Tensor:
    """Return which test digits a linear classifier tells from their points: (M,), bool.

    Multinomial logistic regression on points standardised by the training points, with half the squared norm
    of its weights as penalty on the summed loss. Where all training points are of one digit, that is read.

    Args:
        train_points: (N, latent_dim), at least one.
        train_labels: their digits, (N,), int64.
        test_points: (M, latent_dim), at least one.
        test_labels: the true digits, (M,), int64.
    """
    if len(train_labels.unique()) == 1:
        return test_labels == train_labels[0]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(train_points.double().numpy(), train_labels.numpy())
    return torch.from_numpy(classifier.predict(test_points.double().numpy())) == test_labels
