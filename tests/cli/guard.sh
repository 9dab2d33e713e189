# Numbers that are not finite: updates are skipped, and the run ends after guard.max_skips of them,
# naming tensor, microbatch and windows (which ones, and from which step on, depends on the instruction set).
without_place() {
    sed -E 's/step [0-9]+/step N/; s/(it came from the) [a-z]+ (of )?[a-z0-9_.]+ \(microbatch [0-9]+, stage [0-9]+, rank [0-9]+\), window [0-9]+ \([^)]*\)/\1 TENSOR (PLACE), window N (PLACE)/' |
        without_numbers
}
run ranks 2 attnres train $small optim.lr=1000 optim.clip=0 train.steps=200 guard.max_skips=2 2>log.txt
errors_of log.txt | without_place | sort -u
[ "$(grep -c '^warning: .*: update skipped' log.txt)" -eq $(($(grep -c '"skipped": *true' run/metrics.jsonl) + 1)) ] && echo 'every skip is told'
sed 's/, "step.*//' run/STATUS | without_place

echo 'windows left out'
head -c 4000 $configs/reference.yaml >text.txt
text="$small run.dir=text data.kind=text data.task=stories data.train=text.txt data.val=text.txt"
ranks 2 attnres train $text train.steps=3 >/dev/null 2>&1
ranks 2 attnres train $text --resume train.steps=60 optim.lr=1000 guard.max_skips=0 >/dev/null 2>log.txt
echo "exit code $?"
errors_of log.txt | grep -oE 'window [0-9]+ \(text.txt from token [0-9]+\)' | sort -u | sed 's/[0-9]\+/N/g'
ranks 2 attnres train $text run.dir=skips train.steps=3 >/dev/null 2>&1
ranks 3 attnres train $text run.dir=skips --resume train.steps=6 'data.skip=[12-15, 17]' >out.txt 2>log.txt
echo "exit code $?"
errors_of log.txt
sed 's/.*"data_position": *\([^]]*]\).*/data position \1/' skips/checkpoints/step-00000006/manifest.json | head -n 1
grep ' skip:' skips/config.yaml
run attnres config 'data.skip=[15-12]'

# goes_on RUN: from its oldest checkpoint, for a few steps at a rate that does no harm.
goes_on() {
    local oldest
    oldest=$(ls $1/checkpoints | head -n 1)
    attnres train $small run.dir=$1 --resume=$1/checkpoints/$oldest optim.lr=1e-4 optim.clip=0 \
        train.steps=$((10#${oldest#step-} + 4)) >/dev/null 2>&1
    echo "exit code $?"
}
echo 'checkpoints of a row of skips do not push out those of before'
ranks 2 attnres train $small run.dir=row optim.lr=1000 optim.clip=0 train.steps=400 guard.max_skips=6 checkpoint.every=1 checkpoint.keep=2 >/dev/null 2>log.txt
echo "exit code $?"
last=$(ls row/checkpoints | tail -n 1 | sed 's/step-0*//')
[ $(ls row/checkpoints | wc -l) -eq 2 ] && ! sed -n 's/"skipped": true//p' row/metrics.jsonl | grep -q "\"step\": $last," && echo 'two, of steps that were updates'
goes_on row

echo 'nor do those of a stop in the midst of it'
ranks 2 attnres train $small run.dir=stopped optim.lr=1000 optim.clip=0 train.steps=1000000 guard.max_skips=1000000 checkpoint.every=1 checkpoint.keep=2 >/dev/null 2>log.txt &
job=$!
skips() { [ "$(grep -c 'update skipped' log.txt)" -ge 12 ]; } # after some there may be an update; at last there is none
until_true skips
touch stopped/STOP
wait $job
echo "exit code $?"
ls stopped/checkpoints | wc -l
goes_on stopped

echo 'windows without an answer'
attnres train $small run.dir=unanswered data.task=stories data.loss=answer model.seq_len=8 batch.sequences=1 >out.txt 2>log.txt
echo "exit code $?"
errors_of log.txt

echo 'spikes'
ranks 2 attnres train $small run.dir=spikes train.steps=60 train.eval_every=0 checkpoint.every=0 \
    guard.spike_z=0.3 guard.spike_skip=true guard.max_skips=100 >out.txt 2>log.txt
echo "exit code $?"
errors_of log.txt | sed -E 's/step [0-9]+/step N/; s/[0-9]+-[0-9]+/FROM-TO/' |
    sed -E 's/(the (loss|gradient norm) is [0-9.]+ standard deviations above its mean, )+/the NUMBER is N standard deviations above its mean, /' |
    without_numbers | sort -u
skipped=$(grep -c '"skipped": *true' spikes/metrics.jsonl)
[ $skipped -gt 0 ] && [ $skipped -eq $(grep -c 'update skipped' log.txt) ] && echo 'metrics.jsonl says which'

echo 'steps computed twice'
attnres train $small run.dir=plain >plain.txt 2>/dev/null
for replicas in 1 2; do
    ranks 2 attnres train $small run.dir=twice$replicas guard.check_every=1 pipeline.replicas=$replicas >twice$replicas.txt 2>/dev/null
    echo "exit code $?"
done
[ "$(hash_of plain.txt)" = "$(hash_of twice1.txt)" ] && echo 'the same weights'
