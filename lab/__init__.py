"""Two real clouds on one machine: the demo, the scenario tests' stage, the benchmarks' stage."""
