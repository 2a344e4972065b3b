"""Mesh: private networks that pool the machines people already trust to run AI jobs.

Touches: nothing.
"""

__version__ = "0.1.0"
