"""Policies: who may run what, where, with which data. Rules.

Touches: nothing.
"""
