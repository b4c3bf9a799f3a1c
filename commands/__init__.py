"""The command line, ``python server.py …``: one module a command, put together in `command_line`."""
