"""Typed clients of the coordinator and of the local agent, for the CLI, tests and users.

Touches: nothing.
"""
