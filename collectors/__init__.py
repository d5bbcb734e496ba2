"""Everything that brings evidence in: proxies' metrics, spans, and what is known to exist."""
