"""How people prove who they are: providers that the operator set up, passkeys, and links sent by mail.

Touches: nothing.
"""
