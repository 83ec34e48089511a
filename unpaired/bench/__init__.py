"""How fast the program is beside a plain version of the published code, measured in one run.

The plain version, `plain_cyclegan`, comes with the package, so that an installed `unpaired bench` has its yardstick;
`benchmarks/` holds what needs a checkout: tables over sizes, data and quality.
"""

from unpaired.bench.cases import Case, bench, describe

__all__ = ["Case", "bench", "describe"]
