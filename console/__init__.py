"""The console: the only package that knows all the others; everything that faces outward."""
