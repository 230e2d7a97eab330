"""Stage 2: train the classifier that reads generated digits."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_json
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import StageError, require, run_stage, say


def main() -> None:
    """Train the digit classifier; write its weights, its test accuracy and its confusion matrix."""
    params = load_params()
    dataset_file = require(paths.DATASET, "download")

    from vaebench.classifier import build_classifier, class_probabilities, save_classifier, train_classifier
    from vaebench.data import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.evaluation.confusion import accuracy, confusion_matrix
    from vaebench.pipeline.tracking import track

    dataset = load_dataset(dataset_file)
    workers = Workers(select_device(), precision=params.precision)
    recipe = params.classifier.model_dump()
    with track(
        "train_classifier",
        params={"seed": params.seed, **recipe, "precision": workers.precision},
        device=workers.device.type,
    ) as run:
        run.log_dataset(dataset)
        classifier = build_classifier(params.seed).to(workers.device)
        try:
            for epoch in train_classifier(
                classifier, dataset.train, **recipe, seed=params.seed, workers=workers
            ):
                say(f"epoch {epoch.number}/{params.classifier.epochs}: cross-entropy {epoch.loss:.4f}")
                run.log_metrics({"cross_entropy": epoch.loss}, step=epoch.number)
        except FloatingPointError as error:
            raise StageError(f"{error}; try a lower classifier.learning_rate") from error
        readings = class_probabilities(classifier, dataset.test.images, workers).argmax(1)
        confusion = confusion_matrix(dataset.test.labels, readings)
        scores = {"test_accuracy": accuracy(confusion)}
        say(f"test accuracy {scores['test_accuracy']:.2%}")

        with whole_file(paths.CLASSIFIER) as temporary:
            save_classifier(temporary, classifier)
        write_json(paths.CLASSIFIER_METRICS, {**scores, "confusion": confusion.tolist()})
        run.log_metrics(scores)
        run.log_model(paths.CLASSIFIER, "classifier", {})
        run.log_artifact(paths.CLASSIFIER_METRICS)


if __name__ == "__main__":
    run_stage(main)
