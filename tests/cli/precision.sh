# Products in bf16: refused where they cannot run, with what to do.
export ATTNRES_KERNELS=x86-64-v3
run attnres train $small compute.precision=bf16
run attnres train $small compute.precision=bf17
