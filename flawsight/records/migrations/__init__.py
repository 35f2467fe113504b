"""Migrations of the history's database, applied when a store is opened."""
