# One run to a folder; the lock goes with its owner.
has_trained() { [ -s run/metrics.jsonl ]; }
attnres train $small train.steps=1000000 checkpoint.every=5 >out.txt 2>log.txt &
first=$!
until_true has_trained
for again in '' --resume; do
    run attnres train $small $again 2>second.log
    errors_of second.log | sed "s/by $(uname -n) $first/by HOST PID/"
done
sed 's/, "reason.*//' run/STATUS
kill -9 $first
wait $first 2>/dev/null
run attnres train $small --resume=run/checkpoints/$(ls run/checkpoints | tail -n 1) train.steps=1 2>third.log >/dev/null
errors_of third.log | grep -v -e train.steps
