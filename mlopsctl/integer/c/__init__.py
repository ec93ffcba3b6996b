"""A graph as C99 for microcontrollers: no allocation, no library, the numbers of the reference to the last bit."""
