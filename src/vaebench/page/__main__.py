"""`make report`: the results of the pipeline as one HTML file."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vaebench.pipeline import paths
from vaebench.pipeline.files import write_text
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import require_result, run_stage, say


def main(
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
) -> None:
    """Write the report page."""
    dataset = load_params().data.dataset
    table_file = require_result(paths.BENCHMARK_CSV, "aggregate")
    findings_file = require_result(paths.FINDINGS, "aggregate")

    import pandas as pd
    import torch

    from vaebench.classifier import load_classifier
    from vaebench.page.build import Results, build
    from vaebench.page.explorer import Explored
    from vaebench.page.origin import head, recorded_runs, trace
    from vaebench.pictures import load_pictures
    from vaebench.vae import load_vae

    table = pd.read_csv(table_file)
    dimensions = sorted(int(each) for each in table.loc[table["model"] == "VAE", "latent_dim"])
    trainings = {each: _read(paths.training(each), f"train_vae@{each}") for each in dimensions}
    evaluations = {each: _read(paths.evaluation(each), f"evaluate@{each}") for each in dimensions}
    models = {
        each: Explored(
            load_vae(require_result(paths.vae_weights(each), f"train_vae@{each}")),
            load_pictures(require_result(paths.pictures(each), f"evaluate@{each}")),
            evaluations[each]["kl_spectrum"],
            evaluations[each]["active"],
        )
        for each in dimensions
    }
    references = _read(paths.REFERENCES, "evaluate_references")
    # Numbers that tell the run which made a file from all others.
    files: list[tuple[str, Path, dict[str, float]]] = [("report", paths.REPORT, {})]
    for each in dimensions:
        seconds = {"training_seconds": trainings[each]["training_seconds"]}
        files.append((f"train_vae@{each}", paths.training(each), seconds))
        files.append((f"evaluate@{each}", paths.evaluation(each), evaluations[each]["vae"]))
        if paths.reproduction(each).is_file():
            reproduction = _read(paths.reproduction(each), f"reproduce_report@{each}")
            seconds = {"training_seconds": reproduction["training_seconds"]}
            files.append((f"reproduce_report@{each}", paths.reproduction(each), seconds))
    files.append(("aggregate", paths.FINDINGS, {}))
    noise = {f"pixel_noise_{name}": value for name, value in references["pixel noise"].items()}
    files.append(("evaluate_references", paths.REFERENCES, noise))
    runs = recorded_runs()
    page = build(
        Results(
            table=table,
            findings=findings_file.read_text(encoding="utf-8"),
            trainings=trainings,
            curves={
                each: pd.read_csv(require_result(paths.curve(each), f"train_vae@{each}"))
                for each in dimensions
            },
            models=models,
            panel=[
                load_classifier(
                    require_result(paths.classifier_weights(each), f"train_classifier@{each}"),
                    torch.device("cpu"),
                )
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


def _read(path: Path, stage: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(require_result(path, stage).read_text())
    return content


if __name__ == "__main__":
    run_stage(main)
