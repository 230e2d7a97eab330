"""Stage 5: score one trained VAE and keep what its pictures need."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_json
from vaebench.pipeline.params import LatentDimOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dim: LatentDimOption) -> None:
    """Score one trained VAE; write its scores and the arrays that its pictures need."""
    params = load_params()
    dataset_file = require(paths.DATASET, "download")
    classifier_file = require(paths.CLASSIFIER, "train_classifier")
    vae_file = require(paths.vae_weights(latent_dim), f"train_vae@{latent_dim}")

    from vaebench.classifier import load_classifier
    from vaebench.data import load_dataset
    from vaebench.device import Workers, select_device
    from vaebench.evaluation.evaluate import evaluate
    from vaebench.pictures import save_pictures
    from vaebench.pipeline.tracking import track
    from vaebench.vae import load_vae

    dataset = load_dataset(dataset_file)
    workers = Workers(select_device())
    with track(
        f"evaluate@{latent_dim}",
        params={"seed": params.seed, "latent_dim": latent_dim, **params.evaluate.model_dump()},
        device=workers.device.type,
    ) as run:
        run.log_dataset(dataset)
        evaluation = evaluate(
            load_vae(vae_file, workers.device),
            load_classifier(classifier_file, workers.device),
            dataset,
            **params.evaluate.model_dump(),
            seed=params.seed,
            workers=workers,
        )
        for name, value in evaluation.scores.items():
            say(f"{name}: {value:.4f}")

        with whole_file(paths.pictures(latent_dim)) as temporary:
            save_pictures(temporary, evaluation.pictures)
        counts = {"train_images": len(dataset.train), "test_images": len(dataset.test)}
        about = {"latent_dim": latent_dim, "seed": params.seed, **counts, **params.evaluate.model_dump()}
        confusion = {"confusion": evaluation.confusion.tolist()}
        write_json(paths.evaluation(latent_dim), {**about, **evaluation.scores, **confusion})
        run.log_metrics(evaluation.scores)
        run.log_artifact(paths.evaluation(latent_dim))


if __name__ == "__main__":
    run_stage(main)
