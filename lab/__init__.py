"""The deployment as plain processes on one machine, under load and faults."""
