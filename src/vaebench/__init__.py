"""A reproducible benchmark of variational autoencoders on MNIST, by latent dimension."""
