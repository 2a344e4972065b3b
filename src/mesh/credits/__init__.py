"""Credits: accounts that sum to zero, what work costs, how money moves, and who is believed. RULES.

Touches: nothing.
"""
