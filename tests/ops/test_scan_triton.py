"""The kernels for GPUs compile, where there is none too: Triton's interpreter allows what its compiler refuses.

Whole numbers that are 1 are constants for the compiler, and have no methods.
"""

import os
import subprocess
import sys

BUILD = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from segmend.ops import scan_triton

def build(kernel, **constants):
    names = kernel.arg_names
    types = {name: "*fp32" if name.endswith("_ptr") else "i32" for name in names} | {"winner_ptr": "*i8"}
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, types, {(names.index(name),): value for name, value in constants.items()})
    return triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]

for across, ones in ((False, {}), (True, {}), (True, {"lines": 1}), (False, {"size": 1, "direction": 1})):
    along = {"ACROSS": across, "BACKWARDS": across, "BLOCK": 64, "TILE": scan_triton.TILE}
    for neighbours, fold in ((3, True), (1, False)):
        how = {"NEIGHBOURS": neighbours, "FOLD": fold, "WINNER": fold, **ones}
        for kernel, more in ((scan_triton._forward, {"SUM": across}), (scan_triton._backward, {"SHARED": across})):
            code = build(kernel, **more, **how, **along)
            print(kernel.__name__, code.count("ld.global") > 0, code.count("st.global") > 0)
"""


def test_the_kernels_compile():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == 8 * ["_backward True True"] + 8 * ["_forward True True"]
