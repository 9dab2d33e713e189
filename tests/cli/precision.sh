# Products in bf16: refused where they cannot run, with what to do. Levels that there are not are none.
ATTNRES_KERNELS=x86-64-V3 run ranks 2 attnres train $small run.dir=none
ATTNRES_KERNELS=avx2 run attnres doctor $small
ATTNRES_KERNELS=avx2 run attnres bench $small
ATTNRES_KERNELS= run attnres train $small --dry-run >/dev/null 2>&1 && echo 'empty is not set'
export ATTNRES_KERNELS=x86-64-v3
run attnres train $small compute.precision=bf16
run attnres train $small compute.precision=bf17
run attnres bench $small compute.precision=bf16

echo 'ranks whose processors differ take what all of them have'
unset ATTNRES_KERNELS
small_on() { mpirun --quiet --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 1 -x ATTNRES_KERNELS=$1 attnres train $small run.dir=$1$2 : \
    -n 1 -x ATTNRES_KERNELS=$2 attnres train $small run.dir=$1$2; }
small_on x86-64-v2 x86-64-v2 >low.txt 2>/dev/null
small_on x86-64-v3 x86-64-v2 >mixed.txt 2>/dev/null
grep -o '"kernels": "[^"]*"' x86-64-v3x86-64-v2/run.json
hash_of low.txt | cmp - <(hash_of mixed.txt) && echo 'the same weights'
