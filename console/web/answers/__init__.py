"""What the API answers with, as its OpenAPI says it: the shapes of the JSON that the routes write.

Handlers write plain dicts, which costs less than models by the thousand; these say what is in them.
"""
