"""From what a user declares about Milvus's configuration to values, before any key is written.

`declared` says what each intent is to be now, `compression` and `cache` hold the two that are reckoned from what was
measured, `intents` is what they share.
"""
