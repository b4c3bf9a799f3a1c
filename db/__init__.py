"""The database: one module per noun (apps, customers, …), the engine, the migrations, and `shaping`.

`shaping` builds the statements that read nouns.

Nothing here depends on GraphQL or HTTP, or checks permissions. Functions that get a session never commit its
transaction: the code that opened the transaction ends it (see `db.engine.Database`).
"""
