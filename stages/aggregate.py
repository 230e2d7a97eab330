"""Stage 7: gather every model's numbers in one table, and say what they make of the report's claims."""

from vaebench.pipeline import paths
from vaebench.pipeline.datasets import DATASETS
from vaebench.pipeline.files import write_json, write_text
from vaebench.pipeline.key import ModelKey, by_dimension, sweep
from vaebench.pipeline.params import LatentDimsOption, ModelOption, SeedsOption, load_params
from vaebench.pipeline.stage import require, run_stage, say


def main(latent_dims: LatentDimsOption, seeds: SeedsOption, model: ModelOption) -> None:
    """Write the table of all models, the findings, and the headline numbers of the model under study."""
    dataset = load_params().data.dataset
    data = DATASETS[dataset]
    models = sweep(latent_dims, seeds)
    training_files = {key: require(paths.training(key)) for key in models}
    evaluation_files = {key: require(paths.evaluation(key)) for key in models}
    curve_files = {key: require(paths.curve(key)) for key in models}
    once = sweep(latent_dims, seeds[:1])
    reproduction_files = {key: require(paths.reproduction(key)) for key in once}
    reproduced_files = {key: require(paths.reproduction_curve(key)) for key in once}
    references_file = require(paths.REFERENCES)

    import torch

    from vaebench.findings.claims import Matrices
    from vaebench.findings.findings import Scope, findings
    from vaebench.findings.fitness import panel_warning
    from vaebench.findings.report import published
    from vaebench.findings.results import (
        Evaluation,
        References,
        Reproduction,
        Training,
        read_curve,
        read_report,
        read_result,
    )
    from vaebench.findings.table import (
        DRAWN,
        benchmark_table,
        headline,
        to_markdown,
        to_text,
        trainings_table,
    )
    from vaebench.tracking.track import track

    trainings = {key: read_result(file, Training, key) for key, file in training_files.items()}
    evaluations = {key: read_result(file, Evaluation, key) for key, file in evaluation_files.items()}
    reproductions = [read_result(file, Reproduction, key) for key, file in reproduction_files.items()]
    references = read_result(references_file, References)
    curves = by_dimension({key: read_curve(file, tested=True) for key, file in curve_files.items()})
    reproduced = by_dimension({key: read_curve(file, tested=False) for key, file in reproduced_files.items()})
    report = published(read_report(paths.REPORT), dataset)
    with track("aggregate", params={"latent_dim": model}) as run:
        others = (references, reproductions, report)
        table = benchmark_table(trainings.values(), evaluations.values(), *others)
        studied = ModelKey(model, seeds[0])
        alone = benchmark_table([trainings[studied]], [evaluations[studied]], *others)
        drawn = {column: evaluations[studied][column] for column in DRAWN}
        fit = not panel_warning(table, data)
        page = findings(
            table,
            {
                latent_dim: Matrices(
                    [torch.tensor(each["confusion"]) for each in found if fit],
                    [torch.tensor(each["overlap"], dtype=torch.float64) for each in found],
                )
                for latent_dim, found in by_dimension(evaluations).items()
            },
            curves,
            reproduced,
            Scope(
                dataset=dataset,
                **drawn,
                trainings=len(seeds),
                recipe=trainings[studied]["recipe"],
                optimizer=trainings[studied]["optimizer"],
                ceiling=references["inception_score_ceiling"],
            ),
        )
        write_text(paths.BENCHMARK_CSV, table.to_csv(index=False))
        write_text(paths.BENCHMARK_MD, to_markdown(table, data))
        write_text(
            paths.TRAININGS_CSV, trainings_table(trainings.values(), evaluations.values()).to_csv(index=False)
        )
        write_text(paths.FINDINGS, page)
        numbers = headline(alone, model)
        write_json(paths.MODEL_METRICS, {**numbers, **studied.params(), **drawn})

        run.log_headline(numbers)
        for latent_dim in by_dimension(trainings):
            scores = headline(table, latent_dim)
            run.log_headline({f"d{latent_dim}/{name}": score for name, score in scores.items()})
        for file in (paths.BENCHMARK_CSV, paths.BENCHMARK_MD, paths.TRAININGS_CSV, paths.FINDINGS):
            run.log_table(file)
    say(to_text(table, data))


if __name__ == "__main__":
    run_stage(main)
