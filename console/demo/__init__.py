"""What `meshscope demo` runs: a shop, its visitors, its alert inbox, and the processes around them."""
