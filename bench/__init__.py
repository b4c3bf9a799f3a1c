"""Measurements of the whole server against what it could have been. README.md says how to read them."""
