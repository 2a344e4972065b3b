"""The agent's own page: trying things out and looking after this device, in a browser on this machine.

Touches: nothing.
"""
