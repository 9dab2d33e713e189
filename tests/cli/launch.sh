# Ranks that do not fit the model: 69, told once, with the launch line that fits.
run ranks 3 attnres train $small pipeline.stages=2
run ranks 5 attnres train $small
run ranks 2 attnres train $small 'pipeline.partition=[1,2]'
run ranks 2 attnres train $small 'pipeline.partition=[1,1,2]'
run attnres train $small pipeline.stages=4
run ranks 1 attnres train $small : -n 1 attnres train $small optim.lr=0.01
run ls

echo 'what ranks do not share is started once; an allocation of Slurm has started nothing'
for command in plan config fit report sweep bench; do
    ranks 2 attnres $command $small 2>&1 | grep '^attnres' | sort -u
done
ranks 2 attnres data make stories 1 items.tsv 2>&1 | grep '^attnres' | sort -u
ranks 2 attnres checkpoint list run >/dev/null 2>&1
echo "exit code $?"
SLURM_STEP_NUM_TASKS=4 SLURM_NTASKS=4 run attnres config $small --run-dir
SLURM_NTASKS=4 run attnres config $small --run-dir
ranks 1 attnres config $small --run-dir
run ls

echo 'too little memory for the libraries'
run bash -c "ulimit -v 400000; exec timeout 60 attnres train $small compute.threads=4 run.dir=little"
(unset OPENBLAS_NUM_THREADS OMP_NUM_THREADS; ulimit -v 200000; timeout -k 1 60 attnres --version >/dev/null; echo "exit code $?")

echo 'as many ranks as sublayers'
run ranks 4 attnres train $small --json >four.json 2>four.log
attnres train $small run.dir=one >one.txt 2>/dev/null
sed -n '2s/.*"weights_hash": "\([0-9a-f]*\)".*/\1/p' four.json | cmp - <(hash_of one.txt) && echo 'the same weights as on one rank'

echo 'threads: no more than OMP_NUM_THREADS, unless the configuration says how many'
for threads in auto 2; do
    OMP_NUM_THREADS=1 attnres train $small run.dir=threads-$threads compute.threads=$threads >/dev/null 2>&1
    grep -o '"threads": [0-9]*' threads-$threads/run.json
done
