"""The relay program: forwards sealed packets between devices that share a network.

It knows keys and network numbers; it cannot know jobs, people or credits.

Touches: see each file.
"""
