"""Who is told what after a commit: devices over their links, relays, and people who look at a network.

Touches: nothing.
"""
