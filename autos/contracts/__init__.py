"""The messages between workflows, activities, API and records, and the rules they share.

Enums, pydantic models and tables only. Workflow code may import this package and `autos.cnj` and
nothing else of the project, so nothing here may use the network, the clock or the disk.
"""
