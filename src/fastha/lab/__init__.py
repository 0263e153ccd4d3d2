"""Network-namespace test beds for demos, tests and benchmarks."""
