"""The database: one module per noun, the engine, the migrations, and the shaping of reads.

Nothing here depends on GraphQL or HTTP, or checks permissions. Functions that get a session never commit its
transaction: the code that opened the transaction ends it (see `db.engine.Database`).
"""
