"""Forms of signatures, and whether one holds: no input or output, imports nothing of mlopsctl but ``verifiers``.

The command line and the inference server, which imports nothing else of mlopsctl, check by the same code.
"""
