"""Record the committed benchmark in MLflow, from the committed files alone: `make record`.

In a fresh clone nothing trains, so MLflow would know nothing. This sends what the stages would have sent.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vaebench.findings.results import (
    LOSSES,
    Classifier,
    Evaluation,
    References,
    Reproduction,
    Training,
    read_benchmark,
    read_curve,
    read_keys,
    read_result,
)
from vaebench.pipeline import paths
from vaebench.pipeline.extensions import parameters
from vaebench.pipeline.files import md5
from vaebench.pipeline.key import ModelKey, first_of_each
from vaebench.pipeline.origin import COMMIT_TAG, git, origin, repository_root
from vaebench.pipeline.params import PANELS, PARAMS_FILE, load_params
from vaebench.pipeline.process import PROCESS_TAG, identity, outcome
from vaebench.pipeline.stage import StageError, require, require_result, run_stage, say
from vaebench.tracking.leftovers import end_left_overs
from vaebench.tracking.records import (
    WEIGHTS,
    Artifact,
    DatasetRead,
    Metrics,
    Model,
    Record,
    Scores,
    dataset_read,
    send,
)
from vaebench.tracking.store import (
    PARENT_TAG,
    PIPELINE,
    RECORD_TAG,
    SOURCE_TAG,
    STAGE_TAG,
    Store,
    open_store,
    store_uri,
    usable,
)
from vaebench.tracking.track import child_name, flat, now

LOCK = Path("dvc.lock")
COMMITTED = (str(PARAMS_FILE), str(LOCK), "metrics", "plots")

_RECIPE = "latent_dim seed recipe epochs batch_size optimizer learning_rate training_precision"
DESCRIPTION = """\
The benchmark of commit {commit}, recorded from its files: nothing ran here. Times of runs are those of the
recording; `training_seconds` says how long a training took.

Metrics: `d5/fid` is that of 5 dimensions, `fid` that of the model under study (`latent_dim`).
"""


@dataclass
class Stage:
    """What one stage has left in files, as it tells MLflow itself."""

    name: str
    params: dict[str, object] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[Any, float]] = field(default_factory=list)  # an epoch each, with its number
    model: tuple[Path, str, dict[str, object]] | None = None  # weights, name and parameters
    scores: tuple[Path, dict[str, float]] | None = None  # of the model with these weights
    artifacts: list[Path] = field(default_factory=list)
    headline: dict[str, float] = field(default_factory=dict)
    device: str = ""


def main() -> None:
    """Record the committed benchmark in MLflow, unless it is there.

    Models are recorded where `dvc pull` has brought them.
    """
    commit = _commit()
    stages = list(read_stages())
    hashes = _hashes()
    weights = [stage.model[0] for stage in stages if stage.model]
    # What was trained here since is no model of that commit.
    models = {file: md5(file) for file in weights if _is(file.parent, hashes.get(file.parent, ""))}
    root = repository_root()
    uri = store_uri(root)
    with usable(uri):
        store = open_store(uri, root)
        with store.lock:
            end_left_overs(store, root)
            if _is_there(store, commit):
                say(f"the benchmark of commit {commit[:7]} is recorded already")
                return
            _Record(store, commit, _dataset(hashes), models).send(stages)
    missing = len(weights) - len(models)
    brought = f", without {missing} of {len(weights)} models, which `dvc pull --force` brings"
    without = brought if missing else ""
    say(f"recorded the benchmark of commit {commit[:7]}: {len(stages)} stages{without}; `make ui` shows them")


def read_stages() -> Iterator[Stage]:
    """Yield the stages of the benchmark, as far as files are committed that say what they found."""
    from vaebench.findings.table import headline, rows_of

    params = load_params()
    table = read_benchmark(require(paths.BENCHMARK_CSV))
    models = read_keys(require(paths.TRAININGS_CSV))
    once = first_of_each(models)
    references = read_result(require_result(paths.REFERENCES), References)
    dimensions = list(rows_of(table, "VAE"))
    yield from (_classifier(panel, seed) for panel in PANELS for seed in params.classifier.seeds)
    yield from (_training(key, pictured=key in once) for key in models)
    yield from (_training(key, pictured=False) for key in params.variant_keys())
    yield from map(_reproduction, once)
    yield from map(_evaluation, models)
    yield _references(references)
    model = params.latent_dim if params.latent_dim in dimensions else dimensions[0]
    numbers = {
        f"d{latent_dim}/{name}": score
        for latent_dim in dimensions
        for name, score in headline(table, latent_dim).items()
    }
    tables = [paths.BENCHMARK_CSV, paths.BENCHMARK_MD, paths.TRAININGS_CSV, paths.FINDINGS]
    about: dict[str, object] = {"latent_dim": model}
    yield Stage("aggregate", about, headline=headline(table, model) | numbers, artifacts=tables)
    yield Stage("render", about, artifacts=[paths.BENCHMARK_PLOTS, paths.MODEL_PLOTS])


def _classifier(panel: str, seed: int) -> Stage:
    file = require_result(paths.classifier_metrics(panel, seed))
    found = read_result(file, Classifier)
    about = _pick(found, "panel seed epochs batch_size learning_rate outlier_share training_precision")
    scores = _pick(found, "test_accuracy expected_calibration_error")
    model = (paths.classifier_weights(panel, seed), f"classifier-{panel}-s{seed}", about)
    return Stage(f"train_classifier@{panel}-{seed}", about, scores, model=model, artifacts=[file])


def _training(key: ModelKey, *, pictured: bool) -> Stage:
    found = read_result(require_result(paths.training(key)), Training, key)
    of_objective = " ".join(parameters(found["objective"]))
    about = {**key.params(), **_pick(found, f"{_RECIPE} network objective {of_objective}")}
    curve = require_result(paths.curve(key))
    # A plain autoencoder's has no KL.
    losses = read_curve(curve, tested=True, losses=["reconstruction_loss"] if key.variant else LOSSES)
    names = ("samples", "reconstructions") if pictured else ()
    drawn = [paths.BENCHMARK_PLOTS / f"{name}-d{key.latent_dim}.png" for name in names]
    return Stage(
        key.training,
        about,
        _pick(found, "training_seconds images_per_second parameters"),
        losses.to_dict("records"),
        (paths.vae_weights(key), f"vae-{key}", about),
        artifacts=[curve, *(file for file in drawn if file.is_file())],
        device=found["device"],
    )


def _reproduction(key: ModelKey) -> Stage:
    found = read_result(require_result(paths.reproduction(key)), Reproduction, key)
    curve = require_result(paths.reproduction_curve(key))
    return Stage(
        f"reproduce_report@{key.item}",
        _pick(found, _RECIPE),
        _pick(found, "reconstruction_loss kl_loss combined_loss training_seconds"),
        read_curve(curve, tested=False).to_dict("records"),
        artifacts=[curve],
    )


def _evaluation(key: ModelKey) -> Stage:
    file = require_result(paths.evaluation(key))
    found = read_result(file, Evaluation, key)
    return Stage(
        f"evaluate@{key.item}",
        _pick(found, "latent_dim seed evaluation_seed panel", *_draws()),
        {f"pca_{name}": value for name, value in found["pca"].items()},
        scores=(paths.vae_weights(key), found["vae"]),
        artifacts=[file],
    )


def _references(found: Mapping[str, Any]) -> Stage:
    scores = {name: found[name] for name in found if name.startswith("panel_") and name != "panel_confusion"}
    for kind in ("test images", "pixel noise"):
        scores |= {f"{kind.replace(' ', '_')}_{name}": value for name, value in found[kind].items()}
    about = _pick(found, "evaluation_seed panel", *_draws())
    ceiling = _pick(found, "inception_score_ceiling")
    return Stage("evaluate_references", about, ceiling | scores, artifacts=[paths.REFERENCES])


def _draws() -> list[str]:
    return [*load_params().evaluate.model_dump(exclude={"seed"})]


def _pick(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: found[name] for words in names for name in words.split()}


def _commit() -> str:
    """Return the commit that brought the results.

    Raises:
        StageError: they are not what is committed, or nothing is.
    """
    git("update-index", "-q", "--refresh")
    if changed := git("diff-index", "--name-only", "HEAD", "--", *COMMITTED).splitlines():
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        raise StageError(f"{changed[0]}{more}: not as committed; commit the results, or put them back, first")
    commit = git("rev-list", "-1", "HEAD", "--", *COMMITTED).strip()
    if not commit:
        raise StageError("no benchmark is committed here; run this in a clone of the repository")
    return commit


def _hashes() -> dict[Path, str]:
    """Return what `dvc.lock` says of what stages wrote: the MD5 of each file or folder."""
    from ruamel.yaml import YAML

    lock = YAML(typ="safe", pure=True).load(require(LOCK).read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", ())]
    return {Path(out["path"]): out["md5"] for out in outs if "md5" in out}


def _is(output: Path, digest: str) -> bool:
    """Return whether a file or folder is what DVC knows by `digest`; a folder's is of its list of files."""
    if output.is_file():
        return md5(output) == digest
    files = sorted(file for file in output.rglob("*") if file.is_file())
    listed = [{"md5": md5(file), "relpath": file.relative_to(output).as_posix()} for file in files]
    text = json.dumps(listed, sort_keys=True).encode()
    return f"{hashlib.md5(text, usedforsecurity=False).hexdigest()}.dir" == digest


def _dataset(hashes: Mapping[Path, str]) -> DatasetRead:
    """Return the data set; where it was not fetched, its digest is the hash of its file."""
    digest = hashes.get(paths.DATASET, "")
    if _is(paths.DATASET, digest):
        return dataset_read("", paths.DATASET)
    sizes = read_result(require_result(paths.REFERENCES), References)
    return DatasetRead("", load_params().data.dataset, digest, sizes["train_images"], sizes["test_images"])


def _is_there(store: Store, commit: str) -> bool:
    """Return whether the record is there; what a kill has left of one is removed."""
    runs = store.search(RECORD_TAG, commit)
    if any(run.info.status == "FINISHED" and PARENT_TAG not in run.data.tags for run in runs):
        return True
    for run in runs:
        made = f"source_run_id = '{run.info.run_id}'"
        for model in store.client.search_logged_models([store.experiment_id], made):
            store.client.delete_logged_model(model.model_id)
        store.client.delete_run(run.info.run_id)
    return False


class _Record:
    """The runs of one record."""

    def __init__(self, store: Store, commit: str, dataset: DatasetRead, models: Mapping[Path, str]) -> None:
        self._store = store
        self._commit = commit
        self._dataset = dataset
        self._models = models

    def send(self, stages: list[Stage]) -> None:
        """Send an execution with its stages."""
        tags = origin() | {COMMIT_TAG: self._commit, RECORD_TAG: self._commit, PROCESS_TAG: identity()}
        name = self._store.unused_name("benchmark")
        own = {SOURCE_TAG: PIPELINE, "mlflow.note.content": DESCRIPTION.format(commit=self._commit)}
        with self._run(name, tags | own, flat(load_params().model_dump(exclude_none=True))) as parent_id:
            for stage in stages:
                script = f"stages/{stage.name.partition('@')[0]}.py"
                about = {STAGE_TAG: stage.name, SOURCE_TAG: script, "device": stage.device}
                child = tags | {PARENT_TAG: parent_id} | {key: text for key, text in about.items() if text}
                with self._run(child_name(name, stage.name), child, stage.params) as run_id:
                    self._send_stage(stage, run_id, parent_id)

    @contextmanager
    def _run(self, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> Iterator[str]:
        run_id = self._store.create_run(name, tags, params)
        with outcome(lambda status: self._store.client.set_terminated(run_id, status)):
            send(self._store, replace(self._dataset, run_id=run_id))
            yield run_id

    def _send_stage(self, stage: Stage, run_id: str, parent_id: str) -> None:
        records: list[Record] = []
        for epoch in stage.curve:
            losses = {name: loss for name, loss in epoch.items() if name != "epoch"}
            records.append(Metrics(run_id, losses, int(epoch["epoch"]), now()))
        if stage.metrics:
            records.append(Metrics(run_id, stage.metrics, 0, now()))
        if stage.model and stage.model[0] in self._models:
            weights, name, params = stage.model
            about = {**params, WEIGHTS: self._models[weights]}
            records.append(Model(run_id, weights, name, {key: str(value) for key, value in about.items()}))
        if stage.scores:
            weights, scores = stage.scores
            scored_on = (self._dataset.name, self._dataset.digest)
            records.append(Scores(run_id, scores, now(), self._models.get(weights, ""), scored_on))
        records += [Artifact(run_id, file, None) for file in stage.artifacts]
        if stage.headline:
            records.append(Metrics(parent_id, stage.headline, 0, now()))
            records += [Artifact(parent_id, file, None) for file in stage.artifacts]
        for record in records:
            send(self._store, record)


if __name__ == "__main__":
    run_stage(main)
