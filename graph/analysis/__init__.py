"""Questions about a snapshot's shape and flow: who is near, what breaks with it, what is slow, what stands alone.

Everything here is a pure function of one snapshot (or of one trace's spans), answered with networkx on a view that is
made for the question.
"""
