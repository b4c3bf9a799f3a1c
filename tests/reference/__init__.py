"""A second, simple implementation of reads. Tests compare the results of the real one with it.

graphql-core executes the document, one object at a time, and plain Python filters, sorts and pages. Apart
from loading the rows, the two implementations only share the code for cursors, times and email keys, because
these must be identical.
"""
