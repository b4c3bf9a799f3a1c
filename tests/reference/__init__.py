"""The read side of the graph a second time, as plainly as it can be said, to hold the fast one against.

graphql-core walks the document, one object at a time; Python filters, sorts and cuts. Nothing is shared with
the shaping of reads but the written forms of cursors and moments, which have to be the same.
"""
