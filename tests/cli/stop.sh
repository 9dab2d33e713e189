# A run that is asked to stop saves, says 75, and can be taken on to the same weights.
endless="$small optim.schedule=constant train.eval_every=0 checkpoint.every=100000"
has_trained() { [ -s "$1/metrics.jsonl" ] && [ "$(wc -l <"$1/metrics.jsonl")" -ge 3 ]; }
ask() { # folder, how to ask
    local folder=$1 job step
    shift
    launch 2 attnres train $endless train.steps=1000000 run.dir=$folder >out.txt 2>log.txt
    job=$!
    until_true has_trained $folder
    "$@" $job
    wait $job
    echo "exit code $?"
    step=$(sed 's/.*"step": \([0-9]*\).*/\1/' $folder/STATUS)
    errors_of log.txt | sed "s/step $step/step STEP/"
    sed "s/step $step /step STEP /; s/, \"step.*//" $folder/STATUS
    ranks 3 attnres train $endless train.steps=$((step + 2)) run.dir=$folder --resume >resumed.txt 2>resumed.log
    attnres train $endless train.steps=$((step + 2)) run.dir=$folder-whole >whole.txt 2>/dev/null
    [ "$(hash_of resumed.txt)" = "$(hash_of whole.txt)" ] && echo 'resumed: the same weights'
    ls $folder/STOP 2>&1
}
stop_file() { touch stop_file/STOP; }
signal_mpirun() { kill -USR1 $1; }
signal_rank() { kill -$signal $(children_of $1 | tail -n 1); }
signal_first() { kill -$signal $(children_of $1 | head -n 1); }

echo 'touch STOP'
ask stop_file stop_file
echo 'a stop does not wait for an evaluation'
mkdir now && touch now/STOP
attnres train $small train.eval_every=1 run.dir=now >/dev/null 2>&1
echo "exit code $?"
grep -c '"val_loss"' now/metrics.jsonl
echo 'USR1 to mpirun'
ask usr1 signal_mpirun
echo 'TERM to one rank'
signal=TERM
ask term signal_rank
echo 'INT to the first'
signal=INT
ask int_first signal_first
echo 'the terminal is lost; under nohup that stops nothing'
for way in 'env --default-signal=HUP' nohup; do # who runs the tests may ignore it
    $way attnres train $endless train.steps=1000000 run.dir=${way%% *} >out.txt 2>log.txt &
    job=$!
    until_true has_trained ${way%% *}
    kill -HUP $job
    [ "$way" != nohup ] || { sleep 1; kill -TERM $job; }
    wait $job
    echo "exit code $?"
    errors_of log.txt | sed -E 's/step [0-9]+/step STEP/'
done

echo 'TERM while the data are read through'
truncate -s 1T sparse.txt
launch 2 attnres train $endless data.kind=text data.train=sparse.txt run.dir=early >out.txt 2>log.txt
job=$!
until_true test -s early/STATUS
signal_rank $job
wait $job
echo "exit code $?"
errors_of log.txt
sed 's/, "step.*//' early/STATUS
run attnres train $small run.dir=early --resume 2>/dev/null | tail -n 1

echo 'the same at the end of a job that reading took most of'
SLURM_JOB_END_TIME=$(($(date +%s) + 20)) launch 2 attnres train $endless data.kind=text data.train=sparse.txt run.dir=late >out.txt 2>log.txt
job=$!
until_true test -s late/STATUS
sleep 11 # now there is less left than was spent
signal_rank $job
wait $job
echo "exit code $?"
errors_of log.txt | sed -E 's/[0-9]+ s/N s/g'

echo 'USR1 before it listens, in the midst of its start'
holds_usr1() { local mask; mask=$(sed -n 's/^SigBlk:[[:space:]]*//p' /proc/$1/status 2>/dev/null) && (((0x0$mask & 0x200) != 0)); }
attnres train $endless train.steps=1000000 run.dir=held >out.txt 2>log.txt &
job=$!
while [ -e /proc/$job ] && ! holds_usr1 $job; do :; done
kill -USR1 $job
wait $job
echo "exit code $?"
at_once() { sed -E 's/by a signal after step [0-9]+ of [0-9]+, saved; continue with --resume/before the first step/'; } # or a little later, where others run
errors_of log.txt | at_once
sed 's/, "step.*//' held/STATUS | at_once
attnres train $endless train.steps=$(($(sed 's/.*"step": \([0-9]*\).*/\1/' held/STATUS) + 2)) run.dir=held --resume >/dev/null 2>&1
echo "exit code $?"

echo 'USR2 again and again, in the midst of products: it goes on'
attnres train $endless model.dim=128 model.ff=336 model.seq_len=256 batch.microbatch=2 train.steps=1000000 run.dir=usr2 >out.txt 2>log.txt &
job=$!
until_true has_trained usr2
for i in $(seq 100); do kill -USR2 $job || break; sleep 0.01; done
kill -TERM $job
wait $job
echo "exit code $?"

echo 'signals reach no thread that computes'
OPENBLAS_NUM_THREADS=1 attnres train $endless compute.threads=3 train.steps=1000000 run.dir=masks >out.txt 2>log.txt &
job=$!
until_true has_trained masks
listening=0
for status in /proc/$job/task/*/status; do # one that waits for signals does not have them blocked
    mask=$(sed -n 's/^SigBlk:[[:space:]]*//p' $status 2>/dev/null) # a thread of OpenMP may be gone
    [ -z "$mask" ] || (((0x$mask & 0x4a00) == 0x4a00)) || listening=$((listening + 1))
done
echo "threads that listen: $listening"
kill -TERM $job
wait $job
echo "exit code $?"

echo 'whoever reads along goes away'
{ attnres train $small run.dir=piped 2>&1 >out.txt; echo "exit code $?" >code.txt; } | head -n 1 >/dev/null
cat code.txt

echo 'INT in a step of minutes: heeded behind it, or now if it comes again'
attnres train $endless model.dim=128 model.ff=336 model.seq_len=256 batch.microbatch=2 batch.sequences=40000 run.dir=int >out.txt 2>log.txt &
job=$!
until_true test -e int/metrics.jsonl
kill -INT $job
sleep 1
kill -INT $job || echo 'it is over'
wait $job 2>/dev/null
echo "exit code $?"

echo 'after run.max_hours'
run attnres train $small run.dir=hours run.max_hours=1e-9 2>log.txt | tail -n 1
errors_of log.txt

echo "before the job's end"
SLURM_JOB_END_TIME=$(($(date +%s) + 20)) run attnres train $endless train.steps=1000000 run.dir=job_end 2>log.txt | tail -n 1
errors_of log.txt | sed 's/step [0-9]* of/step STEP of/'
sed 's/step [0-9]* of/step STEP of/; s/, "step.*//' job_end/STATUS
echo 'too late to save, behind another checkpoint'
end=$(($(date +%s) + 20))
SLURM_JOB_END_TIME=$end attnres train $endless train.steps=1000000 checkpoint.every=5 run.dir=late >out.txt 2>log.txt &
job=$!
until_true has_saved late 5
kill -STOP $job
until [ $(date +%s) -gt $end ]; do sleep 0.5; done
kill -CONT $job
wait $job
echo "exit code $?"
errors_of log.txt | sed 's/step [0-9]* of/step STEP of/; s/from step [0-9]*/from step STEP/'
echo 'an end that is past already'
SLURM_JOB_END_TIME=1000000000 run attnres train $small run.dir=past 2>log.txt | tail -n 1
errors_of log.txt

echo 'STOP with the last step: done'
mkdir last && touch last/STOP
run attnres train $small run.dir=last train.steps=1 2>/dev/null | tail -n 1
ls last/STOP 2>&1
