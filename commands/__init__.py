"""The command line, ``./licensegraph …``: each command has a module of its own.

`command_line` combines the commands. The other modules have what commands need.
"""
