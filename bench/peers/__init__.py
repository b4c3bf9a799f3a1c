"""The peers that Licensegraph is compared with. Each is a separate server on plain tables."""
