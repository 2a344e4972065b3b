"""One file per migration, numbered.

Touches: nothing.
"""
