"""What training minimises, each a pure function in a file of its own.

The file's name is the objective's, and the function's. Its keyword-only arguments are its parameters, which
params.yaml must then give. `LIKELIHOOD` says what its decoder is: "gaussian", "bernoulli", or "none" where
nothing is a distribution.
"""
