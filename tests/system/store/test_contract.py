"""The contract of the store on PostgreSQL: the same tests as on SQLite, with the databases of this folder."""

from store.test_contract import *  # noqa: F403  # pytest runs what is imported
