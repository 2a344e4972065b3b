"""Durable batches of this device: many jobs that survive whatever happens to the agent.

Touches: nothing.
"""
