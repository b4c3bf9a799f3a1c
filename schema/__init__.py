"""What clients of the graph see, and the GraphQL door: a thin skin over `resolvers`."""
