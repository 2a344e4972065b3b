"""What runs models here: processes of our own, and engines that the owner shares.

Touches: nothing.
"""
