# Many runs from one file: what it says, takes on, survives and refuses.
cp "$small" base.yaml
cat >grid.yaml <<'END_OF_FILE'
dir: out
base: base.yaml
runs:
  - size: {small: [model.dim=16, model.ff=16], large: [model.dim=32, model.ff=32]}
    kind: {standard: model.kind=standard, block: model.kind=block}
  - rate: {high: optim.lr=0.1}
END_OF_FILE
# Seconds and losses are the machine's, and two runs end in any order.
plain() { sed -E 's/[0-9]+\.[0-9]+/N/g; /^ *[0-9]+ /s/ +[0-9]+$/ S/; s/([0-9]+:)?[0-9]+:[0-9]{2}/TIME/g; s/[0-9]+ %/P %/; s/^[0-9]+ of/N of/'; }
states() { attnres sweep "$@" --dry-run | sed 's/  *$//' | awk '{print $1, $2, $3, $4}'; }

run attnres sweep grid.yaml --dry-run
attnres sweep grid.yaml --jobs=2 >out.txt 2>log.txt
echo "exit code $?"
plain <out.txt
grep -c 'begins (run . of 5)' log.txt
grep -c 'done: val loss .*; [1-5] of 5 runs done' log.txt
echo 'under a parent that ignores the end of its children'
printf 'dir: ignored\nbase: base.yaml\nruns: [{a: {b: []}}]\n' >ignored.yaml
timeout -k 1 100 python3 -c 'import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])' \
    attnres sweep ignored.yaml >/dev/null 2>&1
echo "exit code $?"
echo 'again: nothing is left'
run attnres sweep grid.yaml 2>&1 | plain
for kind in standard block; do sed -n 's/^  kind: //p' out/small-$kind/config.yaml | head -n 1; done
echo 'a run by itself gives the same weights'
attnres train base.yaml model.dim=32 model.ff=32 model.kind=block run.dir=alone >alone.txt 2>/dev/null
[ "$(hash_of alone.txt)" = "$(hash_of out/large-block/output.txt)" ] && echo 'the same weights'
attnres sweep grid.yaml --dry-run --json | sed -E 's/"(loss|val_loss|time_s|flops)": [^,]*/"\1": N/g; s|"[^"]*/attnres"|"ATTNRES"|g; s/\}, /},\n/g' | head -n 2

echo 'fits what it has trained'
attnres fit out/small-* out/large-* | head -n 5 | cut -c1-30

echo 'one run of an array of jobs, on two ranks'
ranks 2 attnres sweep grid.yaml run.seed=2 --only=2 2>&1 | grep -q 'holds another run' && echo 'not in the folder of another'
sed -i 's/^dir: .*/dir: array/' grid.yaml
ranks 2 attnres sweep grid.yaml --only=4 >out.txt 2>/dev/null
echo "exit code $?"
[ "$(hash_of out.txt)" = "$(hash_of alone.txt)" ] && echo 'the same weights'
states grid.yaml
attnres sweep grid.yaml --only=4 --dry-run | tail -n 1 | cut -c1-46

echo 'processors are shared out, and a launch line starts the ranks'
cat >show <<'END_OF_FILE'
#!/bin/sh
sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status >>processors
exec "$@"
END_OF_FILE
chmod +x show
{ sed 's/^dir: .*/dir: launched/; s/small: .*, large/large/; s/^  - rate.*//' grid.yaml
  echo 'launch: ./show mpirun --oversubscribe --mca mpi_yield_when_idle 1 -n 2'; } >launched.yaml
attnres sweep launched.yaml --jobs=2 >/dev/null 2>&1
echo "exit code $?"
n_shares=$(($(env -u OMP_NUM_THREADS nproc) > 1 ? 2 : 1))
[ "$(sort -u processors | wc -l)" -eq $n_shares ] && echo 'each job has its own, or all have the only one'
[ "$(hash_of launched/large-block/output.txt)" = "$(hash_of alone.txt)" ] && echo 'the same weights'
grep -o '"rank": [0-9]' launched/large-block/plan.json
states launched.yaml

echo 'a run that fails does not keep the others from running'
cat >failing.yaml <<'END_OF_FILE'
base: base.yaml
runs:
  - data: {absent: [data.kind=text, data.train=nowhere.txt], there: []}
END_OF_FILE
attnres sweep failing.yaml 2>log.txt | plain
echo "exit code ${PIPESTATUS[0]}"
grep -E '^(attnres|error):' log.txt | sed 's/[0-9]* % of/P % of/'
echo 'what a launcher says around it is left out, and its own failure is no guard'
printf 'launch: mpirun --oversubscribe --mca mpi_yield_when_idle 1 -n 2\n' >under.yaml
sed 's/, there: \[\]//' failing.yaml >>under.yaml
for option in '' --no-such-option; do
    sed "s/mpirun/mpirun $option/" under.yaml >launcher.yaml
    attnres sweep launcher.yaml 2>log.txt >/dev/null
    echo "exit code $?"
    grep -E '^error:' log.txt | sed -E "s/[0-9]* % of/P % of/; s/: [^:;]*'mpirun[^;]*;/: WORDS OF MPIRUN;/"
done
echo 'what is launched is no run'
printf 'launch: true\nruns: [{a: {b: []}}]\n' >none.yaml
attnres sweep none.yaml >/dev/null 2>log.txt
echo "exit code $?"
grep -E '^attnres:' log.txt

echo 'asked to stop: saved, and taken on to the same weights'
cat >long.yaml <<'END_OF_FILE'
base: base.yaml
set: [train.steps=2000, train.log_every=10, train.eval_every=0, checkpoint.every=0]
runs:
  - seed: {s1: run.seed=1, s2: run.seed=2}
END_OF_FILE
has_trained() { [ -s "$1/metrics.jsonl" ] && [ "$(wc -l <"$1/metrics.jsonl")" -ge 3 ]; }
for signal in USR1 TERM HUP; do
    rm -f log.txt
    env --default-signal=HUP attnres sweep long.yaml --jobs=2 >out.txt 2>log.txt & # not as under nohup
    job=$!
    until_true grep -qs "s2 begins" log.txt
    [ $signal != USR1 ] || { until_true has_trained runs/long/s1; until_true has_trained runs/long/s2; }
    kill -$signal $job
    wait $job
    echo "exit code $?"
    grep '^attnres:' log.txt
    [ $signal != USR1 ] || sed 's/, "step.*//; s/step [0-9]*/step STEP/' runs/long/s1/STATUS
done
attnres sweep long.yaml --jobs=2 >/dev/null 2>&1
echo "exit code $?"
attnres train base.yaml train.steps=2000 train.log_every=10 train.eval_every=0 checkpoint.every=0 run.seed=2 run.dir=whole >whole.txt 2>/dev/null
[ "$(hash_of runs/long/s2/output.txt | tail -n 1)" = "$(hash_of whole.txt)" ] && echo 'the same weights'

echo 'killed: its runs save and stop'
sed -i 's/2000/1000000/; s/^base/dir: killed\nbase/' long.yaml
(attnres sweep long.yaml >/dev/null 2>&1 & echo $! >sweep.pid)
echo 'one that is at work elsewhere is left alone'
until_true has_trained killed/s1
sed 's/seed: .*/seed: {s1: run.seed=1}/' long.yaml >one.yaml
attnres sweep one.yaml 2>&1 | sed -E 's| +[0-9]+/1000000 .*| STEP|; s|, [0-9]+ % .*|, P % of the work|'
echo "exit code ${PIPESTATUS[0]}"
echo 'and is not done when who was at work on it has left it'
sed 's/seed: .*/seed: {s1: run.seed=1, s3: [run.seed=3, train.steps=4000]}/' long.yaml >left.yaml
attnres sweep left.yaml >left.txt 2>&1 &
job=$!
until_true has_trained killed/s3
kill -KILL "$(cat sweep.pid)"
wait $job
echo "exit code $?"
tail -n 1 left.txt
until_true grep -q '"stopped"' killed/s1/STATUS
sed 's/after.*//' killed/s1/STATUS

echo 'what is refused'
run attnres sweep
run attnres sweep nowhere.yaml
run attnres sweep grid.yaml --jobs=0
run attnres sweep grid.yaml --only=6
run attnres sweep grid.yaml --only=1 --jobs=2
run attnres sweep grid.yaml --only=1 --json
run attnres sweep grid.yaml optim.lr=2
printf 'runs: [{a: {b: model.dmi=3, c: optim.lr=-1}}]\n' >wrong.yaml
run attnres sweep wrong.yaml
printf 'runs: [{a: {b: model.dmi}}]\n' >wrong.yaml
run attnres sweep wrong.yaml
