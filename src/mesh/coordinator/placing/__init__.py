"""From a permit request to a permit, and from what devices report to the ledger.

Touches: nothing.
"""
