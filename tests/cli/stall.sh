# A rank that is stopped is named, and the job ends with 69 within seconds; asked for its last
# events a run writes them and ends in the same weights.
common="$small optim.schedule=constant train.eval_every=0 checkpoint.every=0 run.stall_s=3 run.stall_save_s=3"

stop_rank() { # rank of three
    launch 3 attnres train $common run.dir=stop$1 checkpoint.every=10 train.steps=1000000 >out.txt 2>log.txt
    local job=$!
    until_true has_saved stop$1 10
    local start=$SECONDS
    kill -STOP $(children_of $job | sed -n "$(($1 + 1))p")
    wait $job
    echo "rank $1 stopped: exit code $?"
    [ $((SECONDS - start)) -lt 60 ] && echo 'ended within a minute'
    errors_of log.txt | sed 's/^rank [0-9]*: //'
    grep -qE '^ *rank [02] has waited [0-9.]+ s for rank 1 to' stop$1/stall.txt && echo 'who waits for it is told'
    sed 's/, "step.*//' stop$1/STATUS
    ls -A stop$1 | grep stall
}
stop_rank 1
stop_rank 0 | grep stopped
ranks 3 attnres train $common run.dir=stop1 train.steps=20000 run.max_hours=1e-9 --resume >out.txt 2>log.txt
echo "resumed: exit code $?"
ls -A stop1 | grep stall

echo 'an uneven partition'
lags() { grep -q 'warning: rank 0 has computed the longest for 20 steps' log.txt; }
launch 3 attnres train $configs/quickstart.yaml run.dir=uneven train.eval_every=0 checkpoint.every=0 \
    'pipeline.partition=[6,1,1]' batch.sequences=16 >out.txt 2>log.txt
job=$!
until_true lags
touch uneven/STOP
wait $job
echo "exit code $?"

echo 'asked for events'
launch 3 attnres train $common train.steps=500 >asked.txt 2>asked.log
job=$!
until_true [ -e run/metrics.jsonl ]
kill -USR2 $job
wait $job
echo "exit code $?"
grep "last events" asked.log
ls run | grep events
sed -n '4p' run/events-rank-0001.txt
attnres train $common train.steps=500 run.dir=plain >plain.txt 2>/dev/null
[ "$(hash_of plain.txt)" = "$(hash_of asked.txt)" ] && echo 'the same weights'
