"""Configurations, shipped as package data."""
