"""Raw formats: each module turns its files into a `Scan`, the SQL that yields usable rows."""
