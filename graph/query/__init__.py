"""The find/hide language: ``namespace = shop and !healthy``, ``%err > 5 or (rt > 1000 and http > 1)``.

Kiali's operands, operators, words and fillers, with ordinary precedence (not, and, or) and parentheses. A term speaks
of nodes or of edges, never of both; so ``and`` joins terms of one sort only.
"""

from graph.query.parsing import Query, QueryError, parse
from graph.query.picking import Found, find, hide

__all__ = ["Found", "Query", "QueryError", "find", "hide", "parse"]
