"""Reads: a selection is compiled into one SQL statement that answers in finished JSON."""
