"""What keeps an installation right as time goes by: upkeep, retention, sealing, new keys; and what is taken out of it.

Touches: nothing.
"""
