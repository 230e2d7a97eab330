"""The digit classifier: shifts against a loop, training against a textbook loop, and that it learns."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from vaebench.data.dataset import Dataset, Images
from vaebench.data.tensors import save_tensors
from vaebench.device import Workers
from vaebench.evaluation.panel import read
from vaebench.models.classifier import Classifier, build_classifier, load_classifier, save_classifier
from vaebench.pipeline.files import UnusableFileError
from vaebench.training.optimizers import Update
from vaebench.training.train_classifier import SHIFT, ClassifierEpoch, cross_entropy, shift, train_classifier

CPU = torch.device("cpu")
COUNT, BATCH, EPOCHS, SEED, RATE = 100, 40, 2, 5, 3e-3  # the last batch holds 20 images


def first(digits: Images, count: int = COUNT) -> Images:
    return Images(digits.images[:count], digits.labels[:count])


def train(
    classifier: Classifier,
    digits: Images,
    workers: Workers,
    *,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
    seed: int = SEED,
    outlier_share: float = 0.0,
) -> list[ClassifierEpoch]:
    recipe = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    return list(
        train_classifier(
            classifier, digits, **recipe, learning_rate=RATE, outlier_share=outlier_share, workers=workers
        )
    )


def file_bytes(classifier: Classifier, folder: Path) -> bytes:
    save_classifier(folder / "classifier.safetensors", classifier)
    return (folder / "classifier.safetensors").read_bytes()


# Shifts.


def naive_shift(image: Tensor, up: int, left: int) -> Tensor:
    shifted = torch.zeros_like(image)
    for row in range(28):
        for column in range(28):
            if 0 <= row + up < 28 and 0 <= column + left < 28:
                shifted[0, row, column] = image[0, row + up, column + left]
    return shifted


def test_shift_is_that_of_a_loop() -> None:
    sides = range(2 * SHIFT + 1)
    offsets = torch.tensor([(rows, columns) for rows in sides for columns in sides])
    images = torch.rand(len(offsets), 1, 28, 28, generator=Generator().manual_seed(0))
    before = images.clone()
    shifted = shift(images, offsets)
    assert shifted.shape == images.shape
    for number, (rows, columns) in enumerate(offsets.tolist()):
        expected = naive_shift(images[number], rows - SHIFT, columns - SHIFT)
        assert torch.equal(shifted[number], expected), (rows, columns)
    assert torch.equal(images, before)


def test_offset_in_the_middle_moves_nothing(digits: Dataset) -> None:
    images = digits.test.images[:4]
    assert torch.equal(shift(images, torch.full((4, 2), SHIFT)), images)


def test_dot_goes_up_and_left() -> None:
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 10, 20] = 1.0
    moved = shift(image, torch.tensor([[SHIFT + 2, SHIFT + 1]]))
    assert moved.nonzero().tolist() == [[0, 0, 8, 19]]


# The network.


def test_logits() -> None:
    images = torch.rand(3, 1, 28, 28, generator=Generator().manual_seed(0))
    before = images.clone()
    assert build_classifier(0)(images).shape == (3, 10)
    assert torch.equal(images, before)  # though its activations work in place


def test_number_of_parameters() -> None:
    kernels = 9 * (1 * 32 + 32 * 64 + 64 * 64 + 64 * 128) + 32 + 64 + 64 + 128
    linear = 128 * 3 * 3 * 128 + 128 + 128 * 10 + 10
    assert sum(parameter.numel() for parameter in build_classifier(0).parameters()) == kernels + linear


def test_cross_entropy_is_that_of_each_image(digits: Dataset) -> None:
    classifier, labels = build_classifier(0), digits.test.labels[:7]
    with torch.no_grad():
        loss, measured = cross_entropy(classifier, digits.test.images[:7], labels)
        logits = classifier(digits.test.images[:7]).double()
    assert torch.equal(measured, loss[:, None])
    expected = logits.exp().sum(1).log() - logits[torch.arange(7), labels]
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)


def test_untrained_classifier_guesses(digits: Dataset) -> None:
    with torch.no_grad():
        losses = cross_entropy(build_classifier(0), digits.test.images, digits.test.labels)
    assert losses.loss.mean().item() == pytest.approx(math.log(10), abs=0.05)


# Training.


@pytest.fixture(scope="module")
def trained(digits: Dataset, workers: Workers) -> tuple[Classifier, list[ClassifierEpoch]]:
    classifier = build_classifier(SEED)
    return classifier, train(classifier, digits.train, workers, epochs=2, batch_size=32)


@pytest.mark.slow
def test_it_learns_digits(
    trained: tuple[Classifier, list[ClassifierEpoch]], digits: Dataset, workers: Workers
) -> None:
    classifier, epochs = trained
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert epochs[1].cross_entropy < epochs[0].cross_entropy / 2 < math.log(10) / 2
    readings = read([classifier], digits.test.images, workers).digits
    assert (readings == digits.test.labels).double().mean() > 0.9


@pytest.mark.slow
def test_textbook_loop_gives_the_same_losses(digits: Dataset, workers: Workers) -> None:
    images, labels = digits.train.images[:COUNT].double(), digits.train.labels[:COUNT]
    classifier = build_classifier(SEED).double()
    epochs = train(classifier, Images(images, labels), workers, batch_size=9)  # the last holds one image

    textbook = Classifier().double()
    textbook.load_state_dict(build_classifier(SEED).state_dict())
    update = Update(textbook, "muon", RATE, steps=EPOCHS * 12, workers=workers)
    generator = Generator().manual_seed(SEED)
    for epoch in epochs:
        order = torch.randperm(COUNT, generator=generator).tolist()
        offsets = torch.randint(0, 2 * SHIFT + 1, (COUNT, 2), generator=generator).tolist()
        losses = []
        for start in range(0, COUNT, 9):
            chosen = list(zip(order, offsets, strict=True))[start : start + 9]
            batch = [naive_shift(images[index], up - SHIFT, left - SHIFT) for index, (up, left) in chosen]
            targets = labels[[index for index, _ in chosen]]
            loss = functional.cross_entropy(textbook(torch.stack(batch)), targets)
            textbook.zero_grad()
            loss.backward()
            update()
            losses += [loss.item()] * len(chosen)
        assert epoch.cross_entropy == pytest.approx(sum(losses) / COUNT, rel=1e-9)
    for weight, expected in zip(classifier.parameters(), textbook.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-8)


def test_mixed_precision_repeats_itself_and_learns_as_well(
    trained: tuple[Classifier, list[ClassifierEpoch]],
    digits: Dataset,
    workers: Workers,
    tmp_path: Path,
) -> None:
    mixed = [Workers(CPU, threads, "mixed") for threads in (1, 2, 3)]
    if mixed[0].dtype == torch.float32:
        pytest.skip("this processor does not multiply bfloat16 natively: mixed precision is float32 here")
    results = set()
    for crew in mixed:
        classifier = build_classifier(SEED)
        epochs = train(classifier, digits.train, crew, epochs=2, batch_size=32)
        results.add((tuple(epochs), file_bytes(classifier, tmp_path)))
    assert len(results) == 1
    assert [epoch.cross_entropy for epoch in epochs] != [epoch.cross_entropy for epoch in trained[1]]
    readings = [read([model], digits.test.images, workers).digits for model in (classifier, trained[0])]
    mixed_share, share = ((each == digits.test.labels).double().mean() for each in readings)
    assert mixed_share > share - 0.03


@pytest.mark.usefixtures("global_rng_untouched")
def test_number_of_workers_changes_no_bit(digits: Dataset, crews: list[Workers], tmp_path: Path) -> None:
    results = set()
    for workers in crews:
        classifier = build_classifier(SEED)
        epochs = train(classifier, first(digits.train), workers)
        results.add((tuple(epochs), file_bytes(classifier, tmp_path)))
    assert len(results) == 1


def test_seed_decides(digits: Dataset, workers: Workers, tmp_path: Path) -> None:
    results = []
    for build_seed, train_seed in ((1, 1), (1, 1), (1, 2), (2, 1)):
        classifier = build_classifier(build_seed)
        epochs = train(classifier, first(digits.train, 64), workers, epochs=1, seed=train_seed)
        results.append((tuple(epochs), file_bytes(classifier, tmp_path)))
    assert results[0] == results[1]
    assert len({weights for _, weights in results}) == 3


@pytest.mark.parametrize("batch_size", [COUNT, 4096])
def test_single_step(digits: Dataset, workers: Workers, batch_size: int) -> None:
    # The schedule has a warm-up that one step hardly enters; and a warning would fail the test.
    classifier = build_classifier(SEED)
    [epoch] = train(classifier, first(digits.train, 40), workers, epochs=1, batch_size=batch_size)
    assert epoch.cross_entropy == pytest.approx(math.log(10), abs=0.1)


def test_epoch_is_trained_when_it_is_asked_for(digits: Dataset, workers: Workers, tmp_path: Path) -> None:
    classifier = build_classifier(SEED)
    before = file_bytes(classifier, tmp_path)
    recipe = {"epochs": 2, "batch_size": BATCH, "seed": SEED}
    epochs: Iterator[ClassifierEpoch] = train_classifier(
        classifier, first(digits.train, 40), **recipe, learning_rate=RATE, outlier_share=0.0, workers=workers
    )
    assert file_bytes(classifier, tmp_path) == before
    assert next(epochs).number == 1
    assert file_bytes(classifier, tmp_path) != before


def test_panel_exposed_to_outliers_is_sure_of_digits_alone(digits: Dataset, workers: Workers) -> None:
    noise = torch.rand(200, 1, 28, 28, generator=Generator().manual_seed(9))
    sure = {}
    for share in (0.0, 0.5):
        classifier = build_classifier(SEED)
        train(classifier, digits.train, workers, outlier_share=share)
        with torch.no_grad():
            found = [
                classifier(images).softmax(1).amax(1).mean().item() for images in (digits.test.images, noise)
            ]
        sure[share] = found
    assert sure[0.5][0] > 0.6
    assert sure[0.5][1] < 0.25 < sure[0.0][1]


def test_weights_that_are_not_numbers_are_an_error(digits: Dataset, workers: Workers) -> None:
    classifier = build_classifier(SEED)
    with torch.no_grad():
        list(classifier.parameters())[-1][3] = torch.nan  # the last layer's bias
    with pytest.raises(FloatingPointError, match=r"^the loss is NaN or infinite in epoch 1$"):
        train(classifier, first(digits.train), workers)


# Probabilities and files.


def test_train_save_load_gives_the_same_numbers(
    trained: tuple[Classifier, list[ClassifierEpoch]],
    digits: Dataset,
    workers: Workers,
    tmp_path: Path,
    global_rng_untouched: None,
) -> None:
    classifier, _ = trained
    saved = file_bytes(classifier, tmp_path)
    loaded = load_classifier(tmp_path / "classifier.safetensors", CPU)
    assert not loaded.training
    images = digits.test.images
    expected = read([classifier], images, workers).probabilities
    assert torch.equal(read([loaded], images, workers).probabilities, expected)
    assert file_bytes(loaded, tmp_path) == saved


@pytest.mark.parametrize("about", [{}, {"model": "vae", "latent_dim": 5}, {"model": "classifier", "more": 1}])
def test_file_that_says_something_else_is_refused(tmp_path: Path, about: dict[str, object]) -> None:
    path = tmp_path / "0.safetensors"
    save_tensors(path, build_classifier(SEED).state_dict(), about)
    with pytest.raises(UnusableFileError, match=rf"^{path}: must hold .*, says that it holds "):
        load_classifier(path, CPU)


def test_file_with_weights_that_are_not_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.safetensors"
    classifier = build_classifier(SEED)
    with torch.no_grad():
        list(classifier.parameters())[-1][3] = torch.nan
    save_classifier(path, classifier)
    with pytest.raises(UnusableFileError, match=rf"^{path}: layers\.\d+\.bias holds NaN or infinity$"):
        load_classifier(path, CPU)
