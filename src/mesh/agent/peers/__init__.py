"""How this device reaches other devices and is reached by them: connections, their streams, addresses, relays.

Touches: nothing.
"""
