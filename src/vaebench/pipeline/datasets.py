"""The data sets that `data.dataset` may name. Another one of this form is one more entry of `DATASETS`."""

from collections.abc import Mapping
from dataclasses import dataclass

_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class IdxFile:
    """What a published gzip file holds; the gzip file itself may differ from mirror to mirror."""

    size: int  # bytes, unpacked
    sha256: str  # of those


@dataclass(frozen=True)
class Download:
    """Where four files in MNIST's format come from, and how they are known to be the published ones."""

    torchvision: str  # the class of torchvision.datasets that names the public mirrors
    folder: str  # under the mirror that VAEBENCH_MIRROR names
    files: Mapping[str, IdxFile]
    own_mirror: str = ""  # the environment variable that names a mirror of this set alone, if there is one


@dataclass(frozen=True)
class DatasetEntry:
    """One data set of grey images of 28x28 pixels in ten classes, and the words for it."""

    title: str
    authors: str
    noun: str  # for one image
    class_noun: str  # for what its label says of it
    classes: tuple[str, ...]  # by label
    download: Download | None  # None where a package carries the set

    @property
    def one(self) -> str:
        """For any one image, with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    @property
    def nouns(self) -> str:
        """For several images."""
        return f"{self.noun}s"

    @property
    def class_nouns(self) -> str:
        """For several classes."""
        return f"{self.class_noun}{'es' if self.class_noun.endswith('s') else 's'}"


def _idx_files(
    train_images: str, train_labels: str, test_images: str, test_labels: str
) -> Mapping[str, IdxFile]:
    """Return MNIST's four files by name, from the SHA-256 of what each holds: 60,000 and 10,000 images."""
    return {
        "train-images-idx3-ubyte.gz": IdxFile(16 + 60_000 * 28 * 28, train_images),
        "train-labels-idx1-ubyte.gz": IdxFile(8 + 60_000, train_labels),
        "t10k-images-idx3-ubyte.gz": IdxFile(16 + 10_000 * 28 * 28, test_images),
        "t10k-labels-idx1-ubyte.gz": IdxFile(8 + 10_000, test_labels),
    }


# By the name in params.yaml. torchvision pins MD5 sums only, and of the gzip files.
DATASETS = {
    "mnist": DatasetEntry(
        title="MNIST",
        authors="Yann LeCun, Corinna Cortes and Christopher Burges",
        noun="digit",
        class_noun="digit",
        classes=_DIGITS,
        download=Download(
            torchvision="MNIST",
            folder="mnist",
            own_mirror="VAEBENCH_MNIST_MIRROR",
            files=_idx_files(
                train_images="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                train_labels="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                test_images="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                test_labels="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
    ),
    "fashion_mnist": DatasetEntry(
        title="Fashion-MNIST",
        authors="Han Xiao, Kashif Rasul and Roland Vollgraf",
        noun="image",
        class_noun="class",
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        download=Download(
            torchvision="FashionMNIST",
            folder="fashion-mnist",
            files=_idx_files(
                train_images="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                train_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                test_images="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                test_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
    ),
    "digits": DatasetEntry(
        title="scikit-learn's digits",
        authors="Ethem Alpaydin and Cenk Kaynak",
        noun="digit",
        class_noun="digit",
        classes=_DIGITS,
        download=None,
    ),
}
