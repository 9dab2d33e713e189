# Replicas of a pipeline: launch lines, numbers that depend on the number of replicas alone, resuming
# on other grids, eval, and the end of a job that loses a rank.
two="$small pipeline.replicas=2"
run ranks 3 attnres train $two
run ranks 2 attnres train $two pipeline.stages=2
run attnres train $two
run ranks 2 attnres train $two batch.sequences=3
run ranks 3 attnres train $small pipeline.stages=2 pipeline.replicas=auto
run ranks 3 attnres train $small pipeline.stages=1 pipeline.replicas=auto
run ls

ranks 4 attnres train $two >four.txt 2>four.log
grep -E 'replicas of|on one host' four.log
head -n 1 run/metrics.jsonl | without_numbers
ls run/checkpoints/step-00000004
ranks 2 attnres train $two pipeline.schedule=zb_h1 run.dir=pair >pair.txt 2>/dev/null
[ "$(hash_of four.txt)" = "$(hash_of pair.txt)" ] && echo '2 x 2 ranks: the weights of 2 x 1'
ranks 4 attnres train $small pipeline.stages=2 pipeline.replicas=auto run.dir=auto >auto.txt 2>/dev/null
[ "$(hash_of four.txt)" = "$(hash_of auto.txt)" ] && echo 'as many replicas as there are ranks for'
attnres train $small run.dir=one >one.txt 2>/dev/null
first_loss() { head -n 1 "$1/metrics.jsonl" | sed 's/, "grad_norm.*//'; }
[ "$(first_loss run)" = "$(first_loss one)" ] && echo 'the first loss is that of one rank'

echo 'stopped on 2 x 2, on to the same weights on 2 x 1'
mkdir stopped && touch stopped/STOP
ranks 4 attnres train $two run.dir=stopped >/dev/null 2>&1
echo "exit code $?"
ranks 2 attnres train $two run.dir=stopped --resume >resumed.txt 2>resumed.log
errors_of resumed.log
[ "$(hash_of four.txt)" = "$(hash_of resumed.txt)" ] && echo 'the same weights'
run attnres train $small train.steps=5 run.dir=stopped --resume 2>fewer.log | tail -n 1
errors_of fewer.log

echo 'evaluated and continued on any grid'
attnres eval run >eval-1.txt
ranks 4 attnres eval run pipeline.replicas=2 >eval-4.txt
cmp eval-1.txt eval-4.txt && echo 'the same loss'
attnres eval run --task=hops --items=7 >hops-1.txt
ranks 4 attnres eval run --task=hops --items=7 pipeline.replicas=4 >hops-4.txt
cmp hops-1.txt hops-4.txt && echo 'the same answers'
attnres generate run --prompt=AB --tokens=3 --temperature=0 >text-1.txt
ranks 2 attnres generate run --prompt=AB --tokens=3 --temperature=0 pipeline.replicas=2 >text-2.txt
cmp text-1.txt text-2.txt && echo 'the same text'

echo 'a rank killed'
launch 4 attnres train $two run.dir=killed optim.schedule=constant train.eval_every=0 checkpoint.every=5 train.steps=1000000 >/dev/null 2>&1
job=$!
until_true has_saved killed 5
kill -9 $(children_of $job | tail -n 1)
start=$SECONDS
wait $job
[ $? -ne 0 ] && [ $((SECONDS - start)) -lt 15 ] && echo 'not 0, within seconds'
