"""Measurements of the server, its peers and the practical limit.

README.md explains how to read the results.
"""
