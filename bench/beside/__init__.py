"""Swanherd and neutron-vpnaas 29 through the same script, in the same run: `make bench-beside`."""
