"""All that is said between programs, sans-I/O: bytes and structs, no sockets, no clock.

Touches: nothing.
"""
