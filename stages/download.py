"""Stage 1: fetch the data set that every other stage reads."""

from vaebench.pipeline import paths
from vaebench.pipeline.files import whole_file
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import run_stage


def main() -> None:
    """Fetch the images that `data.dataset` names, verify them and write data/dataset.safetensors."""
    name = load_params().data.dataset

    # Imported here, so that --help and a mistake in params.yaml are answered without loading torch.
    from vaebench.data.dataset import load_dataset, save_dataset
    from vaebench.data.download import fetch_dataset
    from vaebench.tracking.track import track

    with track("download", params={"dataset": name}) as run:
        arrays = fetch_dataset(name)
        with whole_file(paths.DATASET) as temporary:
            save_dataset(temporary, name, arrays)
        run.log_dataset(load_dataset(paths.DATASET))


if __name__ == "__main__":
    run_stage(main)
