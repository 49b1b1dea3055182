"""The records: PostgreSQL tables and the repositories that are the only place with SQL.

A repository method takes an open session, does its reads and writes, and returns plain values or
rows. Nobody makes a network call while a session is open (DESIGN §3).
"""
