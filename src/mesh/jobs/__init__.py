"""Jobs: the table of their states, and the choice of the device that does the work. Rules.

Touches: nothing.
"""
