"""The agent: one daemon per device that asks for work, does work, and serves this machine's programs.

Touches: nothing.
"""
