"""What operations cost besides the objects that they return (`db.shaping.cost`), for both APIs."""

MUTATION_COST = 10
"""The cost of a write, in objects."""

SIGNING_KEY_COST = 2_000
"""The cost of a write that may create a signing key, in objects. An RSA key can take seconds of CPU time."""
