"""Networks: who belongs, in which role, and how people and devices join. Rules.

Touches: nothing.
"""
