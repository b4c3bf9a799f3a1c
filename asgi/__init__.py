"""HTTP for GraphQL and REST: the protocol, CORS, API keys, bodies, limits, pages and logging."""
