"""What is measured, against whom; figures seen are in benchmarks/README.md."""
