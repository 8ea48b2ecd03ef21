"""What each change of a connection costs a live tunnel: packets lost, and packets in clear.

`stage` makes two pairs of routers with the agent's own parts (planner, wheel, node, strongSwan);
`traffic` sends through them; `rows` are the changes; `measure` runs them. The stage needs nothing
but a network namespace and a mount namespace of its own, so that the same rows run on any kernel.
"""
