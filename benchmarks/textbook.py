"""The report's VAE as a textbook writes it: plain layers, plain PyTorch, image by image from the data set.

It is what `make bench` measures against, and the plain path that the tests hold the fast one to.
"""

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor


class TextbookVAE(nn.Module):
    """The network of `vaebench.networks.conv`."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=1, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(64, 64, 3, stride=1, padding=1),
            nn.LeakyReLU(),
            nn.Flatten(),
        )
        self.mean = nn.Linear(64 * 7 * 7, latent_dim)
        self.log_var = nn.Linear(64 * 7 * 7, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, 64 * 7 * 7),
            nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 64, 3, stride=1, padding=1),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(32, 1, 3, stride=1, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions of `images` (B, 1, 28, 28), mean and log-variance (B, latent_dim)."""
        features = self.encoder(images)
        mean, log_var = self.mean(features), self.log_var(features)
        return self.decoder(mean + torch.exp(0.5 * log_var) * noise), mean, log_var


def textbook_loss(images: Tensor, reconstructions: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return squared error + KL, summed over pixels and latent dimensions, mean over images."""
    reconstruction_loss = functional.mse_loss(reconstructions, images, reduction="sum")
    kl_loss = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (reconstruction_loss + kl_loss) / len(images)


class Digits(Dataset[Tensor]):
    """As torchvision.datasets.MNIST serves them: an array, to a picture, to a tensor."""

    def __init__(self, images: Tensor) -> None:
        self._pixels = (images.squeeze(1) * 255).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> Tensor:
        tensor: Tensor = ToTensor()(Image.fromarray(self._pixels[index].numpy()))
        return tensor


def train_epoch(
    vae: TextbookVAE, optimizer: torch.optim.Optimizer, loader: DataLoader[Tensor], device: torch.device
) -> float:
    """Pass once over the training set; return the mean loss of its batches."""
    total = 0.0
    for batch in loader:
        images = batch.to(device)
        noise = torch.randn(len(images), vae.mean.out_features, device=device)
        loss = textbook_loss(images, *vae(images, noise))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)
