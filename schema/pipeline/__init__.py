"""How a GraphQL request becomes a response: parse → validate → plan → bind → execute.

docs/pipeline.md describes the stages in order, each with its module. The pipeline gets the schema as an
argument and imports none of the modules that declare the schema.
"""
