"""Stage 8: draw every picture, from what the other stages wrote."""

import math
import shutil

from vaebench.pipeline import paths
from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.files import whole_file, write_csv
from vaebench.pipeline.key import ModelKey, by_dimension, sweep
from vaebench.pipeline.params import LatentDimsOption, ModelOption, SeedsOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dims: LatentDimsOption, seeds: SeedsOption, model: ModelOption) -> None:
    """Draw the benchmark in plots/benchmark and the model under study in plots/model.

    Pictures are those of the first seed.
    """
    params = load_params()
    data = DATASETS[params.data.dataset]
    models, once = sweep(latent_dims, seeds), sweep(latent_dims, seeds[:1])
    curve_files = {key: require(paths.curve(key)) for key in models}
    evaluation_files = {key: require(paths.evaluation(key)) for key in models}
    picture_files = {key: require(paths.pictures(key)) for key in once}
    reproduction_files = {key: require(paths.reproduction_curve(key)) for key in once}
    table_file, trainings_file = require(paths.BENCHMARK_CSV), require(paths.TRAININGS_CSV)
    references_file = require(paths.REFERENCES)

    import numpy as np

    from vaebench import figures
    from vaebench.evaluation.pictures import load_pictures
    from vaebench.findings.fitness import panel_warning
    from vaebench.findings.results import (
        Evaluation,
        References,
        read_benchmark,
        read_curve,
        read_result,
        read_trainings,
    )
    from vaebench.tracking.track import track

    table, trainings = read_benchmark(table_file), read_trainings(trainings_file)
    warning = panel_warning(table, data)
    references = read_result(references_file, References)
    curves = {key: read_curve(file, tested=True) for key, file in curve_files.items()}
    reproduced = {key: read_curve(file, tested=False) for key, file in reproduction_files.items()}
    pictures_of = {key: load_pictures(file, key.latent_dim) for key, file in picture_files.items()}
    evaluations = by_dimension({i: read_result(file, Evaluation, i) for i, file in evaluation_files.items()})
    overlaps = {i: np.mean([each["overlap"] for each in found], 0) for i, found in evaluations.items()}
    spectra = {i: [np.array(each["kl_spectrum"]) for each in found] for i, found in evaluations.items()}
    active = {i: [np.array(each["active"]) for each in found] for i, found in evaluations.items()}

    with track("render", params={"latent_dim": model}) as run:
        for key, pictures in pictures_of.items():
            latent_dim = key.latent_dim
            named = f"latent dimension {latent_dim}"
            for name, figure in {
                "losses": figures.loss_curves(curves[key], latent_dim, data),
                "latent": figures.latent_scatter(pictures, latent_dim, data),
                "reconstructions": figures.reconstructions(pictures, latent_dim, data),
                "samples": figures.prior_samples(pictures, latent_dim),
                "interpolations": figures.interpolations(pictures, latent_dim, data),
                "label_distributions": figures.label_distributions(pictures, latent_dim, data, warning),
                "confusion": figures.confusion(
                    pictures.confusion,
                    f"Reconstructions as the classifiers read them · {named}",
                    data,
                    warning,
                ),
                "overlap": figures.overlap(
                    overlaps[latent_dim],
                    f"Overlap of {data.class_nouns} in the latent space · {named}",
                    data,
                ),
            }.items():
                drawn = paths.BENCHMARK_PLOTS / f"{name}-d{latent_dim}.png"
                figures.save(figure, drawn)
                if latent_dim == model:
                    with whole_file(paths.MODEL_PLOTS / f"{name}.png") as temporary:
                        shutil.copyfile(drawn, temporary)
            if latent_dim == model:
                counts = np.ndenumerate(pictures.confusion)
                # The same columns for every data set, as dvc.yaml and old commits have them.
                rows = [
                    {"true_digit": data.classes[true], "read_as": data.classes[read], "digits": n}
                    for (true, read), n in counts
                ]
                write_csv(paths.MODEL_PLOTS / "confusion.csv", rows)
            say(f"drew dimension {latent_dim}")
        with whole_file(paths.MODEL_PLOTS / "curve.csv") as temporary:
            shutil.copyfile(curve_files[ModelKey(model, seeds[0])], temporary)
        published = table.dropna(subset="report_combined_loss")
        report = dict(zip(published["latent_dim"], published["report_combined_loss"], strict=True))
        for name, figure in {
            "losses": figures.benchmark_curves(by_dimension(curves)),
            "recipes": figures.recipe_curves(
                by_dimension(curves), params.vae.recipe, by_dimension(reproduced), report
            ),
            "criteria": figures.criteria(
                table,
                trainings,
                references["inception_score_ceiling"],
                math.log(references["test_images"]),
                data,
            ),
            "rate_distortion": figures.rate_distortion(table, trainings),
            "overlaps": figures.overlaps(overlaps, data),
            "kl_spectra": figures.kl_spectra(spectra, active),
            "confusion-classifiers": figures.confusion(
                np.array(references["panel_confusion"]),
                f"Test {data.nouns} as the classifiers read them",
                data,
                warning,
            ),
        }.items():
            figures.save(figure, paths.BENCHMARK_PLOTS / f"{name}.png")
        run.log_artifact(paths.BENCHMARK_PLOTS)
        run.log_artifact(paths.MODEL_PLOTS)
        for key in once:
            for name in ("samples", "reconstructions"):
                drawn = paths.BENCHMARK_PLOTS / f"{name}-d{key.latent_dim}.png"
                run.log_picture(drawn, paths.vae_weights(key))


if __name__ == "__main__":
    run_stage(main)
