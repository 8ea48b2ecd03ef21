"""Many connections: the real agent beside peers of our own, without a cloud around them."""
