"""What can go wrong with a cluster of the test bed, as the person at the keyboard should read it."""


class ClusterError(Exception):
    """The cluster did not come up, or is not there; the text says which part and shows the end of its log."""


class PreflightError(Exception):
    """This machine cannot run the embedded cluster; the text is one line that names what is missing."""
