"""Measurements of Autos beside the alternatives: a bare asyncio script, and the same job on DBOS.

`python -m benchmarks` runs them; docs/how-to/measure.md explains the workloads. Ratios and CPU per
unit are comparable between runs and hold on a busy machine; absolute times are not.
"""
