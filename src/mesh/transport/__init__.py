"""Authenticated, ordered byte streams between device keys: iroh, the device itself, or memory.

Touches: see each file.
"""
