# A rank killed outright: the job ends by itself, the folder is whole, and the run goes on to the
# same weights.
common="$small optim.schedule=constant train.eval_every=0 checkpoint.every=5"

launch 2 attnres train $common train.steps=1000000 >out.txt 2>log.txt
job=$!
until_true has_saved run 10
kill -9 $(children_of $job | tail -n 1)
start=$SECONDS
wait $job
code=$?
[ $code -ne 0 ] && echo 'not 0'
[ $((SECONDS - start)) -lt 15 ] && echo 'ended within seconds'
sed 's/, "step.*//' run/STATUS

step=$(ls run/checkpoints | tail -n 1 | sed 's/step-0*//')
[ "$(tail -c 1 run/metrics.jsonl | od -An -c | tr -d ' ')" = '\n' ] && echo 'metrics.jsonl has whole lines'
ranks 3 attnres train $common train.steps=$((step + 5)) --resume >resumed.txt 2>resumed.log
echo "exit code $?"
errors_of resumed.log | grep -v train.steps
attnres train $common train.steps=$((step + 5)) run.dir=whole >whole.txt 2>/dev/null
[ "$(hash_of resumed.txt)" = "$(hash_of whole.txt)" ] && echo 'resumed: the same weights'
cut -d: -f2 run/metrics.jsonl | cut -d, -f1 | tr -d ' ' | cmp - <(seq $((step + 5))) && echo 'metrics.jsonl has every step once'
ls -A run/checkpoints | sed "s/$(printf %08d $step)/STEP/; s/$(printf %08d $((step - 5)))/STEP - 5/; s/$(printf %08d $((step + 5)))/STEP + 5/"
