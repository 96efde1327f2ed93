"""Where segments are: whether and what is moved off a QueryNode that is busier than the others.

`hot_segments` decides. `planner_input` makes the planner's cluster (rebalancing/) of a snapshot and its heat, `moves` a
plan's worth of what that finds, `steps` the steps. `owner` says whether Milvus's own balancer places segments,
`ping_pong` what it moves to and fro, `new_nodes` who waits to be filled, `history` what the last moves teach.
"""
