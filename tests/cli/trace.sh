# Widths follow from numbers, and what is worth a note from the machine.
table_of() {
    without_numbers <"$1" | sed -n '/ms a step/,/warnings/p' | sed -E 's/(rank|on) [0-9]+/\1 R/g; s/warnings: [0-9]+/warnings: N/'
}

run ranks 2 attnres train $small trace.first=2 trace.steps=2 >result.txt 2>run.log
table_of run.log
grep '^trace: ' run.log | without_numbers | sed -E 's/[0-9]+ events/E events/'
run ls run run/trace
run attnres train $small run.dir=plain --json >plain.json 2>plain.log
grep -o '"summary": {"ranks": 1, "steps": 4' plain.json
run ls plain
ranks 2 attnres train $small pipeline.replicas=2 trace.first=2 trace.steps=1 run.dir=replicas >/dev/null 2>&1
python3 -c '
import json
names = [event["name"] for event in json.load(open("replicas/trace/trace.json"))["traceEvents"]]
print("sums of replicas are in the trace:", "reduce" in names)'
run attnres train $small run.dir=late trace.steps=1 trace.first=5 2>late.log
errors_of late.log

echo 'who goes on behind the traced steps leaves their trace; who traces some again replaces it'
cp replicas/trace/trace.json before.json
ranks 2 attnres train $small pipeline.replicas=2 trace.first=2 trace.steps=1 run.dir=replicas --resume train.steps=6 >/dev/null 2>&1
ranks 2 attnres train $small pipeline.replicas=2 trace.first=2 trace.steps=1 run.dir=replicas --resume train.steps=6 >/dev/null 2>&1
cmp before.json replicas/trace/trace.json && echo 'the same trace'
ranks 2 attnres train $small pipeline.replicas=2 trace.first=8 trace.steps=1 run.dir=replicas --resume train.steps=8 >/dev/null 2>&1
cmp -s before.json replicas/trace/trace.json || echo 'another trace'
mv replicas/trace elsewhere && ln -s ../elsewhere replicas/trace
ranks 2 attnres train $small pipeline.replicas=2 trace.first=9 trace.steps=1 run.dir=replicas --resume train.steps=9 2>&1 >/dev/null | grep ^attnres
