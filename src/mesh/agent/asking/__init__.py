"""What this device asks of others: jobs are planned, dispatched, followed to their end, and answered for.

Touches: nothing.
"""
