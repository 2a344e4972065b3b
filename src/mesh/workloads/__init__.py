"""Kinds of work and the engines that do it. Model libraries load only inside a child process.

Touches: see each file.
"""
