"""The command line: a file per noun.

Touches: nothing.
"""
