"""Declared settings, from what a user declares to values, to how each stands, to the steps that are missing.

`declared` says what each intent is to be now, `compression` and `cache` hold the two that are reckoned from what was
measured, `intents` is what they share. `overrides` checks real keys by the catalogue. `judge` says how a wish stands by
the `evidence` of running processes; `restarts` and `dropped` make steps of what is read at start, and of what is handed
back. `keys` are the steps themselves. `profile` lays what a profile proposes beside what is declared.
"""
