"""Tests of the store on PostgreSQL: real servers."""
