"""Declared settings, from what a user declares to values, to how each stands, to the steps that are missing.

`settings` goes through it all. `declared` says what each intent is to be now; `compression`, `cache` and `guard` reckon
theirs from what was measured, and `intents` is what they share. `overrides` checks real keys by the catalogue. `judge`
says how a wish stands by the `evidence` of running processes; `road` is where a key is kept, and `keys` are its steps.
`restarts` and `restart_steps` make one change of what is read at start, `dropped` hands back, and what did harm stays
away for a day by `rollbacks`. `profile` lays what a profile proposes beside what is declared. `consistency` of
collections, `locality` of QueryNodes and `damping` of Milvus's balancer are no keys, or keys for a time.
"""
