"""Stage 2: train one member of a panel of classifiers that reads generated digits."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_json
from vaebench.pipeline.params import PanelOption, SeedOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(panel: PanelOption, seed: SeedOption) -> None:
    """Train a classifier; write its weights and how well it reads the test digits.

    The plain panel learns from digits alone, the exposed one from images of no digit besides.
    """
    params = load_params()
    dataset_file = require(paths.DATASET)

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.evaluation.calibration import expected_calibration_error
    from vaebench.evaluation.confusion import accuracy, confusion_matrix
    from vaebench.evaluation.panel import read
    from vaebench.models.classifier import build_classifier, save_classifier
    from vaebench.tracking.progress import follow
    from vaebench.tracking.track import track
    from vaebench.training.train_classifier import train_classifier

    dataset = load_dataset(dataset_file)
    test = dataset.test
    workers = Workers(select_device(), precision=params.precision)
    recipe = params.classifier.model_dump(exclude={"seeds"})
    if panel == "plain":
        recipe["outlier_share"] = 0.0
    about = {"panel": panel, "seed": seed, **recipe, "training_precision": workers.precision}
    with track(f"train_classifier@{panel}-{seed}", params=about, device=workers.device.type) as run:
        run.log_dataset(dataset)
        classifier = build_classifier(seed).to(workers.device)
        training = train_classifier(classifier, dataset.train, **recipe, seed=seed, workers=workers)
        follow(training, run, f"{panel} classifier {seed}", "classifier.learning_rate")
        readings = read([classifier], test.images, workers)
        confusion = confusion_matrix(test.labels, readings.digits)
        scores = {
            "test_accuracy": accuracy(confusion),
            "expected_calibration_error": expected_calibration_error(readings.consensus, test.labels),
        }
        for name, value in scores.items():
            say(f"{name}: {value:.4f}")

        with whole_file(paths.classifier_weights(panel, seed)) as temporary:
            save_classifier(temporary, classifier)
        counts = {"train_images": len(dataset.train), "test_images": len(test)}
        found = {**about, **counts, **scores, "confusion": confusion.tolist()}
        write_json(paths.classifier_metrics(panel, seed), found)
        run.log_metrics(scores)
        run.log_model(paths.classifier_weights(panel, seed), f"classifier-{panel}-s{seed}", about)
        run.log_artifact(paths.classifier_metrics(panel, seed))


if __name__ == "__main__":
    run_stage(main)
