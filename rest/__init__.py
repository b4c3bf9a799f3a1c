"""The REST API at /api/v1. Each operation reads its arguments, calls a resolver and returns the result."""
