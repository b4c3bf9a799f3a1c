"""HTTP handling around GraphQL and REST: the protocol, bodies, API keys, pages and logging."""
