"""What is stored: one module a noun, the engine, the migrations and the shaping of reads.

Nothing here knows GraphQL, HTTP or permissions, and nothing here commits: whoever opened the
transaction ends it (see `db.engine.Database`).
"""
