"""What Licensegraph is measured against: each a server of its own, on plain tables."""
