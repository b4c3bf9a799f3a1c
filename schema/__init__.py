"""The GraphQL schema: a thin layer over `resolvers`. `schema.pipeline` runs the requests."""
