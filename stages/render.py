"""Stage 6: draw every picture, from what training and evaluation wrote."""

import json
import shutil

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file, write_csv
from vaebench.pipeline.params import LatentDimsArgument, ModelOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dims: LatentDimsArgument, model: ModelOption) -> None:
    """Draw the benchmark in plots/benchmark and the model under study in plots/model."""
    params = load_params()
    dimensions = sorted({*latent_dims, model})
    classifier_file = require(paths.CLASSIFIER_METRICS, "train_classifier")
    for latent_dim in dimensions:
        require(paths.curve(latent_dim), f"train_vae@{latent_dim}")
        require(paths.pictures(latent_dim), f"evaluate@{latent_dim}")

    for latent_dim in latent_dims:
        require(paths.reproduction_curve(latent_dim), f"reproduce_report@{latent_dim}")

    import numpy as np
    import pandas as pd

    from vaebench import figures
    from vaebench.pictures import load_pictures
    from vaebench.pipeline.tracking import track

    with track("render", params={"latent_dim": model}) as run:
        curves = {latent_dim: pd.read_csv(paths.curve(latent_dim)) for latent_dim in dimensions}
        for latent_dim in dimensions:
            pictures = load_pictures(paths.pictures(latent_dim))
            for name, figure in {
                "losses": figures.loss_curves(curves[latent_dim], latent_dim),
                "latent": figures.latent_scatter(pictures, latent_dim),
                "reconstructions": figures.reconstructions(pictures, latent_dim),
                "samples": figures.prior_samples(pictures, latent_dim),
                "interpolations": figures.interpolations(pictures, latent_dim),
                "label_distributions": figures.label_distributions(pictures, latent_dim),
                "confusion": figures.confusion(
                    pictures.confusion,
                    f"Reconstructions as the classifier reads them · latent dimension {latent_dim}",
                ),
            }.items():
                drawn = paths.BENCHMARK_PLOTS / f"{name}-d{latent_dim}.png"
                figures.save(figure, drawn)
                if latent_dim == model:
                    with whole_file(paths.MODEL_PLOTS / f"{name}.png") as temporary:
                        shutil.copyfile(drawn, temporary)
            if latent_dim == model:
                # DVC's confusion template counts rows: one a digit.
                counts = np.ndenumerate(pictures.confusion)
                rows = [{"true_digit": cell[0], "read_as": cell[1]} for cell, n in counts for _ in range(n)]
                write_csv(paths.MODEL_PLOTS / "confusion.csv", rows)
            say(f"drew dimension {latent_dim}")
        with whole_file(paths.MODEL_PLOTS / "curve.csv") as temporary:
            shutil.copyfile(paths.curve(model), temporary)
        figures.save(figures.benchmark_curves(curves), paths.BENCHMARK_PLOTS / "losses.png")
        reproduced = {
            latent_dim: pd.read_csv(paths.reproduction_curve(latent_dim)) for latent_dim in latent_dims
        }
        report = pd.read_csv(paths.REPORT)
        published = dict(zip(report["latent_dim"], report["combined_loss"], strict=True))
        if params.data.dataset != "mnist":  # other digits, other losses: nothing to compare
            published = {}
        figures.save(
            figures.recipe_curves(curves, params.vae.recipe, reproduced, published),
            paths.BENCHMARK_PLOTS / "recipes.png",
        )
        classifier = json.loads(classifier_file.read_text())
        figures.save(
            figures.confusion(np.array(classifier["confusion"]), "Test digits as the classifier reads them"),
            paths.BENCHMARK_PLOTS / "confusion-classifier.png",
        )
        run.log_artifact(paths.BENCHMARK_PLOTS)
        run.log_artifact(paths.MODEL_PLOTS)


if __name__ == "__main__":
    run_stage(main)
