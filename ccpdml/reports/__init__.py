"""Figures, galleries and pages about finished runs, from plain arrays and files."""
