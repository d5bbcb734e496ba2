"""Requests of programs as their spans tell them."""

import time

from otlp_fakes import request, resource, span


def calls(*, failed=0, total=20, namespace="shop"):
    """Requests of the web to the cart, as both ends trace them; so many of them for what is not there."""
    now_ns = time.time_ns()
    spans = ([], [])
    for number in range(1, total + 1):
        code = 404 if number <= failed else 200
        about = {"trace": now_ns + number, "start_ns": now_ns, "http__response__status_code": code}
        spans[0].append(span("client", 2 * number, server__address="cart", server__port=80, **about))
        spans[1].append(span("server", 2 * number + 1, parent=2 * number, **about))
    return request(*((resource(app, namespace=namespace), of) for app, of in zip(("web", "cart"), spans, strict=True)))
