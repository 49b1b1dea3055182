"""What workflows, activities, API and records say to each other.

Only plain values live here: enums, pydantic models, tables. Workflow code may import this
package and `autos.cnj`, nothing else of the project, so nothing here may touch the network,
the clock or the disk.
"""
