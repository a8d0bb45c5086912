"""Pages drawn from a study's result tables: one self-contained HTML file each."""
