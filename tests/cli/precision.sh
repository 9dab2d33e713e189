# Products in bf16: refused where they cannot run, with what to do. Levels that there are not are none.
ATTNRES_KERNELS=x86-64-V3 run ranks 2 attnres train $small run.dir=none
ATTNRES_KERNELS=avx2 run attnres doctor $small
ATTNRES_KERNELS=avx2 run attnres bench $small
ATTNRES_KERNELS= run attnres train $small --dry-run >/dev/null 2>&1 && echo 'empty is not set'
export ATTNRES_KERNELS=x86-64-v3
run attnres train $small compute.precision=bf16
run attnres train $small compute.precision=bf17
run attnres bench $small compute.precision=bf16
