run attnres plan $configs/quickstart.yaml --ranks 2
run attnres plan $configs/quickstart.yaml --ranks 9 pipeline.stages=4
run attnres plan $configs/quickstart.yaml --ranks 9
run attnres plan model.blocks=7
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
check_remedies 2 memory.limit=16e6 model.layers=8 model.blocks=4
check_remedies 8 memory.limit=12e6 batch.sequences=16 batch.microbatch=4 pipeline.schedule=gpipe
run attnres train $configs/quickstart.yaml memory.limit=15e6 batch.microbatch=2 2>refused.txt
grep -c 'what would fit' refused.txt
ls
