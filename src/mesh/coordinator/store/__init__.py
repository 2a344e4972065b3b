"""All of the coordinator's SQL: tables in ``schema``, queries in a file per noun, one writer with group commit.

Nothing outside this folder imports a database. Acts get a ``Store`` and call the query functions here.

Touches: nothing.
"""
