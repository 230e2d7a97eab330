"""Which model a result is of, and how that is written: in files, in stages, in MLflow and for people."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

Found = TypeVar("Found")


class ModelKey(NamedTuple):
    """What tells one trained model of the benchmark from another."""

    latent_dim: int
    seed: int  # of its training
    variant: str = ""  # its name in params.yaml; of a model of the sweep, none

    def __str__(self) -> str:
        """Return its name in files and in MLflow."""
        return self.variant or f"d{self.latent_dim}-s{self.seed}"

    @property
    def item(self) -> str:
        """Its name in DVC, as in `train_vae@5-0` and `train_variant@beta`."""
        return self.variant or f"{self.latent_dim}-{self.seed}"

    @property
    def training(self) -> str:
        """The stage that trains it."""
        return f"{'train_variant' if self.variant else 'train_vae'}@{self.item}"

    @property
    def title(self) -> str:
        """Its name for people."""
        return ", ".join([*filter(None, [self.variant]), f"dimension {self.latent_dim}", f"seed {self.seed}"])

    def params(self) -> dict[str, int | str]:
        """Return its parts by name: MLflow's parameters to filter and group runs by."""
        return {name: part for name, part in self._asdict().items() if part != ""}


def sweep(latent_dims: Iterable[int], seeds: Iterable[int]) -> list[ModelKey]:
    """Return the models of the benchmark: by rising dimension, and for each from every seed as it stands."""
    seeds = list(seeds)
    return [ModelKey(latent_dim, seed) for latent_dim in sorted(set(latent_dims)) for seed in seeds]


def by_dimension(found: Mapping[ModelKey, Found]) -> dict[int, list[Found]]:
    """Return what is known of every training, by the dimension of the model."""
    dimensions = dict.fromkeys(key.latent_dim for key in found)
    return {each: [value for key, value in found.items() if key.latent_dim == each] for each in dimensions}


def first_of_each(keys: Iterable[ModelKey]) -> list[ModelKey]:
    """Return the first training of each dimension: the one whose pictures are shown."""
    found: dict[int, ModelKey] = {}
    for key in keys:
        found.setdefault(key.latent_dim, key)
    return list(found.values())
