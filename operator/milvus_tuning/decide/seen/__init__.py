"""What a snapshot shows of a step and its effect: one file for each kind of step that has more to it than one number.

`level` of a collection's consistency, `placement` of segments and in-memory replicas, `pods` of a restart, `scheduling`
of the zone that QueryNodes prefer; `serving` says whether what stays serves everything. readback.py asks them.
"""
