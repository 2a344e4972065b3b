"""The local gateway: OpenAI-shaped HTTP on loopback, so that programs of this machine use the mesh unchanged.

Touches: nothing.
"""
