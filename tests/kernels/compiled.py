"""Compile the kernels for an H100 without having one; prints a line for each.

python -m tests.kernels.compiled
"""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from unpaired.models.kernels.cuda import triton_kernels as kernels
from unpaired.models.kernels.cuda.tuning import TILES, WARPS, launch

HOPPER = GPUTarget("cuda", 90, 32)
VALUES, SUMS = ("y", "res", "out", "grad", "inner", "kept"), ("part", "gamma", "beta", "sums")


def compiled(kernel, constants):
    """A kernel for bf16 tensors whose strides divide by 16."""
    names = kernel.arg_names
    kinds = dict.fromkeys(VALUES, "*bf16") | dict.fromkeys(SUMS, "*fp32") | {"slope": "fp32", "eps": "fp32"}
    signature = {name: "constexpr" if name in constants else kinds.get(name, "i32") for name in names}
    divisible = {(k,): [["tt.divisibility", 16]] for k, name in enumerate(names) if signature[name][0] in "*i"}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=divisible)
    return triton.compile(source, target=HOPPER, options={"num_warps": WARPS})


def main() -> None:
    """A residual block's kernels, those of a last layer, and of an image so small that mirrors overlap."""
    tile = launch(1, 256, 64 * 64)
    common = {"R": tile.rows, "BC": tile.channels, "channel": 1, "gamma": None, "beta": None}
    normed = common | {"NORM": True, "SP": 32, "P": 1, "MODE": 1}
    back = normed | {"SMALL": False, "INNER": True}
    for kernel, constants in (
        (kernels.measure, {"R": tile.rows, "BC": tile.channels, "channel": 1}),
        (kernels.finish, normed | {"HAS": True, "TILES": TILES}),
        (
            kernels.finish,
            common | {"NORM": False, "P": 0, "MODE": 0, "SP": 1, "HAS": False, "TILES": TILES, "part": None},
        ),
        (kernels.gradient_sums, back | {"KEEP": 1}),
        (kernels.gradient_sums, back | {"KEEP": 0, "SMALL": True, "P": 3}),
        (kernels.gradient, back | {"TILES": TILES}),
    ):
        ptx = compiled(kernel, constants).asm["ptx"]
        wide = ptx.count("ld.global.v4") + ptx.count("ld.global.L1::evict_last.v4")
        print(f"{kernel.__name__}: {wide} 16-byte loads, local memory {ptx.count('.local .align')} bytes")


if __name__ == "__main__":
    main()
