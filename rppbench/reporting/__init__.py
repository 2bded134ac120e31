"""Reports written from tables: Markdown, LaTeX, CSV, JSON, HTML and figures."""
