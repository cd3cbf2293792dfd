"""Redis as requests use it: one pipelined connection a server, in cluster mode too, behind breakers."""
