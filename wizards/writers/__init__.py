"""One module per config API: ``write`` an intent into objects, ``read`` it back out of them."""
