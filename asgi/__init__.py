"""What both doors do with HTTP alike: bodies, keys, request ids and the request log."""
