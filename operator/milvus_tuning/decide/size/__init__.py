"""How many QueryNodes there should be, and which one leaves.

`context` puts together what is looked at, `pressure` makes reasons to grow of the two signals, `scaling` decides,
`scale_in` finds who may leave, and `steps` has the steps. `answers` are decisions that change nothing; `reverts` counts
how often somebody else set the number back.
"""
