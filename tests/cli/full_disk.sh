# A rank whose files cannot grow any more: saving fails loudly, the run goes on, older checkpoints
# stand, and the exit code is 74 if the last save failed.
common="$small optim.schedule=constant train.eval_every=0 checkpoint.every=5"
failed_to_save() { grep -q 'could not be saved' log.txt; }

launch 2 attnres train $common train.steps=1000000 >out.txt 2>log.txt
job=$!
until_true has_saved run 10
prlimit --pid "$(children_of $job | tail -n 1)" --fsize=20000
until_true failed_to_save
newest=$(ls run/checkpoints | tail -n 1)
touch run/STOP
wait $job
echo "exit code $?"
grep 'error: checkpoint' log.txt | sed -E 's/step[- ][0-9]+/step N/g; s/(model|optim)-00002/FILE-00002/' | sort -u
grep -E '^(attnres|error):' log.txt | sed -E 's/step[- ][0-9]+/step N/g' | sort -u
sed -E 's/step [0-9]*/step N/g; s/, "step.*//' run/STATUS
[ "$(ls run/checkpoints | tail -n 1)" = $newest ] && echo 'the newest before stands'
tail -n 1 out.txt

echo 'and on when there is room again'
step=${newest#step-}
end=$((10#$step + 5))
ranks 2 attnres train $common train.steps=$end --resume >resumed.txt 2>resumed.log
echo "exit code $?"
attnres train $common train.steps=$end run.dir=whole >whole.txt 2>/dev/null
[ "$(hash_of resumed.txt)" = "$(hash_of whole.txt)" ] && echo 'the same weights'
ls -A run/checkpoints | wc -l

echo 'what a killed save has left takes no room from the next one'
mkdir run/checkpoints/.step-00000001.partial
ranks 2 attnres train $common train.steps=$end --resume >resumed.txt 2>resumed.log
echo "exit code $?"
ls -A run/checkpoints | wc -l

echo 'nothing was saved before'
launch 1 attnres train $common checkpoint.every=0 train.steps=1000000 run.dir=first 2>first.log >/dev/null
job=$!
until_true grep -qs '"training"' first/STATUS
prlimit --pid "$(children_of $job)" --fsize=20000
touch first/STOP
wait $job
echo "exit code $?"
grep ^attnres first.log | sed -E 's/step [0-9]+/step N/'
