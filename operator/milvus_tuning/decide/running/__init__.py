"""The course of a plan from its proposal to its verdict, and of its steps.

`lifecycle` is the state machine of the plan and `operation` that of its steps, with `moving` and `restarting` for what
is special about moved segments and replaced pods, `holding` for a roll that stands still, `taking_back` for the way
back and `course` for the parts of them all. `verdict` says whether it did harm; `throttle` and `failing` what waits
while searches suffer.
"""
