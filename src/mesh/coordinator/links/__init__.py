"""The links of devices: each proves itself and the coordinator, then says and hears messages.

Touches: nothing.
"""
