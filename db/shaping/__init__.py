"""Shaping of reads: a selection is compiled into one SQL statement that returns finished JSON."""
