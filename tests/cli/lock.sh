# One run to a folder; the lock goes with its owner.
attnres train $small train.steps=1000000 checkpoint.every=5 >out.txt 2>log.txt &
first=$!
until_true has_saved run 5
for again in '' --resume; do
    run attnres train $small $again 2>second.log
    errors_of second.log | sed "s/by $(uname -n) $first/by HOST PID/"
    grep "at work" second.log
done
sed 's/, "reason.*//' run/STATUS
kill_job $first
run attnres train $small --resume=run/checkpoints/$(ls run/checkpoints | tail -n 1) train.steps=1 2>third.log >/dev/null
errors_of third.log | grep -v -e train.steps

echo 'a holder on another host may have died with it: --resume waits'
flock run/.lock bash -c 'echo "node7 4711" >run/.lock; until [ -e gone ]; do sleep 0.1; done' &
holder=$!
until_true grep -q node7 run/.lock
said() { grep -q "$1" log.txt; }
resume() {
    attnres train $small train.steps=1000000 --resume >out.txt 2>log.txt &
    run=$!
    until_true said 'waiting for it'
}
end() {
    kill -USR1 $run
    wait $run
    echo "exit code $?"
    grep -E '^(attnres|warning: run|resuming|stopped|if no)' log.txt | sed -E 's/step [0-9]+/step N/'
}
attnres train $small >out.txt 2>log.txt
echo "without it: exit code $?"
grep -A 1 '^attnres' log.txt
resume
end
resume
touch gone
until_true said '^step'
end
wait $holder
