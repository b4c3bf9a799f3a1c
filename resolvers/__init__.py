"""What the server does: one function for each operation, called by GraphQL, REST and the commands.

The parameters of most API operations are the viewer, then a session or the database, then the input. First,
the viewer's scopes are checked, which may raise Unauthenticated or Forbidden. Most operations that need no
key skip this check, and some of them have no viewer. Functions that only commands call have no viewer either.
Nothing here depends on GraphQL, HTTP or a SQL dialect.
"""
