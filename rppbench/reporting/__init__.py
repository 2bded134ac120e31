"""From tables to pages: Markdown, LaTeX, CSV, HTML, figures."""
