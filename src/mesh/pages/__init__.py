"""The pages that `dev.py web` builds from web/, and how their files are served.

Touches: nothing.
"""
