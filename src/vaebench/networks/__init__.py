"""Encoders and decoders, each a function of the latent dimension in a file of its own.

The file's name is the network's, and the function's: a new file is a network that params.yaml may name.
"""
