# Loss over every token but the first, the same on any number of ranks.
attnres train $small >/dev/null 2>&1
head -c 1000 $configs/reference.yaml >text.txt
run attnres eval run --task=loss --file=text.txt >one.json
for n in 2 3; do
    run ranks $n attnres eval run --task=loss --file=text.txt >$n.json
    cmp <(sed 1d one.json) <(sed 1d $n.json) && echo 'the same'
done
sed 1d one.json | without_numbers
sed -n 2p one.json | python3 -m json.tool >/dev/null && echo 'valid JSON'
head -c 20 text.txt >short.txt
run attnres eval run --file=short.txt | without_numbers
head -c 1 text.txt >single.txt
run attnres eval run --file=single.txt
run attnres eval run/checkpoints/step-00000002 --file=nowhere
run attnres eval run --task=pears
run attnres eval run --task=hops --file=text.txt
run attnres eval run --items=5
run attnres eval run --task=pairs --file=text.txt --join=
run attnres eval nowhere
run attnres eval $configs

run attnres eval run --task=hops --items=20 >one.txt
run ranks 2 attnres eval run --task=hops --items=20 >two.txt
cmp <(sed 1d one.txt) <(sed 1d two.txt) && echo 'the same answers on one rank and on two'
attnres eval run --task=hops --items=5 --json | while read -r line; do
    echo "$line" | python3 -m json.tool >/dev/null && echo "$line" | without_numbers
done | tail -n 1
echo 'standard errors: of the accuracy, and of the best guess'
attnres eval run --task=hops data.task=phop --items=40 --json | python3 -c '
import json, math, sys
rows = [json.loads(line) for line in sys.stdin]
for row in rows:
    guess = max(row["chance"], row["constant"], row["shortcut"])
    for key, share in (("standard_error", row["accuracy"]), ("guess_standard_error", guess)):
        assert math.isclose(row[key], math.sqrt(share * (1 - share) / 39), abs_tol=1e-12), (key, row)
print(len(rows), any(row["standard_error"] != row["guess_standard_error"] for row in rows))
'
run attnres eval run --task=hops data.task=vars --items=5 | without_numbers | sed 1,6d
run attnres eval run --task=hops data.task=stories model.seq_len=333 --items=5 | without_numbers
run attnres eval run --task=hops data.task=stories --items=5 | tail -n 2
run attnres eval run --task=hops --items=0
run attnres eval run --task=hops --items=1 | awk "{ print \$NF }" | head -n 3
run sh -c 'attnres eval run >/dev/full'

echo 'a run of several chunks, on as many ranks as there are sublayers'
ranks 2 attnres train $small run.dir=chunks pipeline.schedule=interleaved pipeline.chunks=2 >/dev/null 2>&1
attnres eval chunks >one.json
ranks 4 attnres eval chunks 2>four.log | cmp - one.json && echo 'the same'
run ranks 2 attnres eval chunks pipeline.chunks=3 2>&1 | tail -n 2

echo 'where no answer is counted the loss is not known, and training says so'
attnres train $small run.dir=blank data.loss=answer model.seq_len=4 train.eval_tokens=4 2>&1 >/dev/null | grep -c 'has no result'

echo 'validation data that is not what it was, unless it is chosen'
mkdir other
cp text.txt val.txt
tr a b <text.txt >other/val.txt
attnres train $small run.dir=validated data.kind=text data.train=text.txt data.val=val.txt >/dev/null 2>&1
attnres eval validated 2>&1 >/dev/null | wc -l
(cd other && attnres eval ../validated 2>&1 >/dev/null)
attnres eval validated data.val=other/val.txt 2>&1 >/dev/null | wc -l

echo 'two hosts that read other files under the same path'
echo '{"question": "a", "choices": ["b", "c"], "answer": 1}' >asked.jsonl
sed s/\"b/\"d/ <asked.jsonl >other/asked.jsonl
for task in '--file=val.txt' '--task=choice --file=asked.jsonl'; do
    (cd other && ranks 1 --wdir .. attnres eval "$PWD/../run" $task : -n 1 attnres eval "$PWD/../run" $task 2>&1)
done
