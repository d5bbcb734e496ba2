"""The live service graph: identities, observations, merging, windows, health and questions.

Pure domain code: no I/O, no framework, nothing that can wait.
"""
