"""What happens: one function for each thing that can be done or asked, called by every door alike.

A resolver takes the viewer first, then a session, then typed input. Its first line says what the viewer must
be allowed. Nothing here knows GraphQL, HTTP or a SQL dialect.
"""
