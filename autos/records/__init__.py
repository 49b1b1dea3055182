"""The records: the PostgreSQL tables, and the only modules that contain SQL.

Each module covers one noun. Its functions take a session that the caller has opened
(`Database.transaction`), and return rows or plain values. A caller makes no network call while a
session is open (tests/unit/test_transactions.py).
"""
