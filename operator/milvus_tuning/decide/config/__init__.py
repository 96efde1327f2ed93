"""Declared settings: what they ask for, how each stands in the running cluster, and the steps that are missing."""
