"""Measurements behind every claim of speed or size. Each compares two things in one run and reports medians and ratios."""
