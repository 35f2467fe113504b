"""Photo in, Inspection out: engine, explanation, decision."""
