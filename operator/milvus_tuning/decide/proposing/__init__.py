"""From a decision to a plan that may run: what it says, on whose word it runs, and when it is no longer the one.

`proposal` writes it, with `prediction` and `risk`, and says when it is stale. `approval` is whose word it needs,
`maintenance` and `pause` are when it may start. `hold_off` keeps what was turned down away for a while, `retention`
forgets finished plans.
"""
