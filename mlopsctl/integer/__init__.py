"""A neural network or trees in whole numbers alone: read from ONNX, executed exactly, written as circuits and C.

Nothing here starts a process, writes a file or knows of mlopsctl's other parts: workers import it in processes of their own.
"""
