"""Real PostgreSQL and Redis as plain processes, and what stands in for others: for lab, tests and benches."""
