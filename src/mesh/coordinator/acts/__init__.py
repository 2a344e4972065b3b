"""Acts: one transaction each, ``(store, facts, now_ms, new_id) → effects``. Effects happen after the commit.

Touches: nothing.
"""
