"""The coordinator: accounts, membership, presence, placement, ledger. It decides; devices do.

Touches: nothing.
"""
