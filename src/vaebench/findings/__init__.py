"""What all results come to: the table, its winners, and what they make of the report's claims."""
