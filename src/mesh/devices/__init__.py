"""Devices: what one can do, whether it is here, and whether it works for others. Rules.

Touches: nothing.
"""
