"""The records: the PostgreSQL tables, and the only modules that hold SQL.

There is one module per noun. Its functions take a session that the caller has opened
(`Database.transaction`), read and write, and return rows or plain values. A caller makes no
network call while a session is open (tests/unit/test_transactions.py).
"""
