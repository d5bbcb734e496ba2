"""Having proxies of the bundled mesh tell of their requests, exactly while somebody watches."""
