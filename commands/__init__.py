"""The command line, ``./licensegraph …``: one module per command; `command_line` combines them."""
