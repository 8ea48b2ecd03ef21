"""The operators' panel, under Admin › Network."""
