"""The coordinator's HTTP API: a file per noun; a body in, one act, a body out. Every route names who may call it.

Touches: nothing.
"""
