"""What this device does for others: jobs are checked, queued, run, delivered, and claimed for.

Touches: nothing.
"""
