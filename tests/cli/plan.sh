run attnres plan $configs/quickstart.yaml --ranks 2
run attnres plan $configs/quickstart.yaml --ranks 9 pipeline.stages=4
run attnres plan $configs/quickstart.yaml --ranks 9
run attnres plan model.blocks=7
run attnres plan model.kind=full model.blocks=7 | grep '^note'
run attnres plan $configs/quickstart.yaml --ranks 4 pipeline.replicas=2
run attnres plan $configs/quickstart.yaml --ranks 5 pipeline.replicas=2
run attnres plan $configs/quickstart.yaml pipeline.replicas=3

echo 'one rank, four, sixty-four'
for n in 1 4 64; do
    attnres plan $configs/quickstart.yaml --ranks $n model.layers=64 model.blocks=32 >plan.txt
    echo "$n: $(grep -c '^rank [0-9]' plan.txt) lines of schedule"
    attnres plan $configs/quickstart.yaml --ranks $n model.layers=64 model.blocks=32 --json | python3 -c '
import json, sys
plan = json.load(sys.stdin)
print(len(plan["stages"]), sum(stage["n_sublayers"] for stage in plan["stages"]))'
done

echo 'beyond the limit: what would fit does'
check_remedies() { # ranks key=value ...
    ranks=$1
    shift
    attnres plan $configs/quickstart.yaml --ranks $ranks "$@" 2>&1 >/dev/null | tee refusal.txt
    sed -n 's/^  \(.*\) (.*/\1/p' refusal.txt | while read -r line; do
        n=$(echo "$line" | sed -n 's/^mpirun -n \([0-9]*\).*/\1/p')
        attnres plan $configs/quickstart.yaml "$@" --ranks ${n:-$ranks} $(echo "$line" | grep -o '[a-z.]*=.*') >/dev/null
        echo "$line: exit code $?"
    done
}
check_remedies 2 memory.limit=15e6 batch.microbatch=2
check_remedies 2 memory.limit=14e6 model.layers=8 model.blocks=4
check_remedies 8 memory.limit=12e6 batch.sequences=16 batch.microbatch=4 pipeline.schedule=gpipe
run attnres train $configs/quickstart.yaml memory.limit=15e6 batch.microbatch=2 2>refused.txt
grep -c 'what would fit' refused.txt
ls

echo 'predicted times: measured, then by rates'
run attnres plan $small compute.threads=1 --calibrate=costs.json
run attnres plan $small --ranks=2 --calibrate=costs.json
run attnres plan $small --calibrate=nowhere/costs.json
ranks 2 attnres plan $small --calibrate=two.json >/dev/null && grep -o '^ *"[a-z_]*"' two.json
run attnres plan $small --ranks=2 pipeline.costs=two.json --svg=step.svg >plan.txt
grep -E '^(slowest|predicted|compute|bubble|messages|update|F forward)' plan.txt | sed -E 's,[0-9.]+(e[-+]?[0-9]+)? (ms|s|tokens|%)( |$|/),N \2\3,g' | without_numbers
grep -c '<rect' step.svg | sed 's/[0-9][0-9].*/many/'
run attnres plan $small --ranks=2 pipeline.costs=two.json --link-bandwidth=1e6 --json | python3 -c '
import json, sys
plan = json.loads(sys.stdin.read().split("\n")[1])
parts = plan["predicted"]
print("two ranks over 8 Mbit/s wait for messages:", parts["messages_s"] > parts["compute_s"])
print(plan["costs"], len(plan["traffic"]), "encodings with and without cache")'
ranks 2 attnres train $small pipeline.costs=two.json run.dir=run >train.txt 2>&1
echo "train: exit code $?"
python3 -c 'import json; print("plan.json names", json.load(open("run/plan.json"))["costs"])'
run attnres plan $small --ranks=2 pipeline.costs=two.json --flops=1e9
run attnres plan $small model.dim=64 pipeline.costs=two.json
run attnres plan $small pipeline.costs=absent.json
sed 's/mlp_s/mpl_s/' two.json >typo.json
run attnres plan $small pipeline.costs=typo.json
run attnres train $small pipeline.costs=typo.json run.dir=none
run attnres plan $small --svg=none.svg >/dev/null
echo 'written over are only files of the same kind'
cp two.json again.json
cp $small own.yaml
mkdir -p folder
for out in own.yaml step.svg folder again.json; do
    run attnres plan $small compute.threads=1 --calibrate=$out
done
for out in own.yaml two.json folder step.svg; do
    run attnres plan $small --ranks=2 pipeline.costs=two.json --svg=$out >plan.txt
    tail -n 1 plan.txt
done
cmp $small own.yaml && head -c 5 step.svg && ls folder
printf '\nwhat the cache costs\n'
for schedule in '1f1b pipeline.chunks=1' 'interleaved pipeline.chunks=2'; do
    attnres plan --ranks 2 pipeline.schedule=$schedule pipeline.cache=on | grep 'as chosen: '
done
