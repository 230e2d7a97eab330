"""Stage 6: score real test images and pixel noise, which the models stand between by most scores."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import write_json
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import require, run_stage, say


def main() -> None:
    """Score the reference images by the code that scores the models."""
    params = load_params()
    dataset_file = require(paths.DATASET)
    members = [require(paths.classifier_weights("plain", i)) for i in params.classifier.seeds]

    from vaebench.data.dataset import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.evaluation.evaluate import Draws, Judge, evaluate_references
    from vaebench.models.classifier import load_classifier
    from vaebench.tracking.track import track

    dataset = load_dataset(dataset_file)
    workers = Workers(select_device())
    classifiers = [load_classifier(file, workers.device) for file in members]
    draws = params.evaluate.model_dump(exclude={"seed"})
    about = {"evaluation_seed": params.evaluate.seed, "panel": len(members), **draws}
    with track("evaluate_references", params=about, device=workers.device.type) as run:
        run.log_dataset(dataset)
        found = evaluate_references(
            Judge(
                panel=classifiers,
                dataset=dataset,
                draws=Draws(**draws),
                seed=params.evaluate.seed,
                workers=workers,
                say=say,
            )
        )
        counts = {"train_images": len(dataset.train), "test_images": len(dataset.test)}
        panel_scores = {f"panel_{name}": value for name, value in found.panel.items()}
        scores = {"test images": found.test_images, "pixel noise": found.pixel_noise}
        ceiling = {"inception_score_ceiling": found.inception_score_ceiling}
        confusion = {"panel_confusion": found.confusion.tolist()}
        write_json(paths.REFERENCES, {**about, **counts, **ceiling, **panel_scores, **scores, **confusion})
        run.log_metrics(
            {
                **ceiling,
                **panel_scores,
                **{f"test_images_{name}": value for name, value in found.test_images.items()},
                **{f"pixel_noise_{name}": value for name, value in found.pixel_noise.items()},
            }
        )
        run.log_artifact(paths.REFERENCES)


if __name__ == "__main__":
    run_stage(main)
