"""`make report`: the results of the pipeline as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from vaebench.pipeline import paths
from vaebench.pipeline.files import read_text, write_text
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import require_result, require_writable, run_stage, say


def main(
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
) -> None:
    """Write the report page."""
    dataset = load_params().data.dataset
    require_writable([output.parent])
    table_file = require_result(paths.BENCHMARK_CSV)
    findings_file = require_result(paths.FINDINGS)

    import torch

    from vaebench.evaluation.pictures import load_pictures
    from vaebench.findings.results import (
        Evaluation,
        References,
        Reproduction,
        Training,
        read_benchmark,
        read_curve,
        read_result,
    )
    from vaebench.models.classifier import load_classifier
    from vaebench.models.vae import load_vae
    from vaebench.page.build import Results, build
    from vaebench.page.explorer import Explored
    from vaebench.page.origin import recorded_runs, trace
    from vaebench.pipeline.origin import head

    table = read_benchmark(table_file)
    dimensions = sorted(int(each) for each in table.loc[table["model"] == "VAE", "latent_dim"])
    trainings = {
        each: read_result(require_result(paths.training(each)), Training, each) for each in dimensions
    }
    evaluations = {
        each: read_result(require_result(paths.evaluation(each)), Evaluation, each) for each in dimensions
    }
    models = {
        each: Explored(
            load_vae(require_result(paths.vae_weights(each)), latent_dim=each),
            load_pictures(require_result(paths.pictures(each)), each),
            evaluations[each]["kl_spectrum"],
            evaluations[each]["active"],
        )
        for each in dimensions
    }
    references = read_result(require_result(paths.REFERENCES), References)
    # Numbers that tell the run which made a file from all others.
    files: list[tuple[str, Path, dict[str, float]]] = [("report", paths.REPORT, {})]
    for each in dimensions:
        seconds = {"training_seconds": trainings[each]["training_seconds"]}
        files.append((f"train_vae@{each}", paths.training(each), seconds))
        files.append((f"evaluate@{each}", paths.evaluation(each), evaluations[each]["vae"]))
        if paths.reproduction(each).is_file():
            reproduction = read_result(paths.reproduction(each), Reproduction, each)
            seconds = {"training_seconds": reproduction["training_seconds"]}
            files.append((f"reproduce_report@{each}", paths.reproduction(each), seconds))
    files.append(("aggregate", paths.FINDINGS, {}))
    noise = {f"pixel_noise_{name}": value for name, value in references["pixel noise"].items()}
    files.append(("evaluate_references", paths.REFERENCES, noise))
    runs = recorded_runs()
    page = build(
        Results(
            table=table,
            findings=read_text(findings_file),
            trainings=trainings,
            curves={each: read_curve(require_result(paths.curve(each)), tested=True) for each in dimensions},
            models=models,
            panel=[
                load_classifier(require_result(paths.classifier_weights(each)), torch.device("cpu"))
                for each in range(references["panel"])
            ],
            panel_accuracy=references["panel_test_accuracy"],
            plots=paths.BENCHMARK_PLOTS,
            origins=[trace(*made, runs) for made in files],
            commit=head(),
            dataset=dataset,
        )
    )
    write_text(output, page)
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    run_stage(main)
