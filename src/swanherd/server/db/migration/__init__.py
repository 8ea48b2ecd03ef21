"""Migrations that neutron-db-manage runs (subproject `swanherd`)."""
