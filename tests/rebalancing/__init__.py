"""Clusters to plan for, a validator that knows nothing of the planner, and other balancers to compare with."""
