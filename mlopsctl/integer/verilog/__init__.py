"""Circuits of a graph: one engine that works through its operations, with the weights in memories beside it."""
