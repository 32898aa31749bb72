"""The report: tables, curves, maps and the page that holds them."""
