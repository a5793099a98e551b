"""Error reports in text that kernels, firmware and tools left behind: one grammar a file, all of them read in one pass.

`reader.reports` finds them; `report` has their shapes; `evidence` says which register words a report stands on.
"""
