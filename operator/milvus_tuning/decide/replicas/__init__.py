"""How many in-memory replicas a collection has.

`number` decides by what `checks` allows: `fit` is about memory, and `gain` says what a replica more is worth, as
measured. `case` holds the facts of one such decision.
"""
