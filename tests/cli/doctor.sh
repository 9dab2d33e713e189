# The launch check by itself. What it finds differs between machines, and crowded ones warn: rows that cannot
# depend on that are shown.
steady() {
    grep -E '^(PASS|WARN|FAIL)  (launcher|binary|arguments|configuration|plan|BLAS|run folder|clocks)' | sed -E 's/[0-9a-f]{8,16} on/HASH on/; s/Open.*,/BLAS,/'
}

for n in 1 2; do
    ranks $n attnres doctor $small >report.txt
    echo "exit code $?"
    steady <report.txt
    grep -c -E '^(PASS|WARN)  ' report.txt
done
ranks 2 attnres doctor $small --json | python3 -c '
import json, sys
report = json.load(sys.stdin)
print(report["verdict"] in ("PASS", "WARN"), [check["name"] for check in report["checks"]])'
ls

echo 'more memory than is allowed'
attnres doctor $configs/quickstart.yaml memory.limit=2e6 >report.txt
echo "exit code $?"
grep -A 20 '^FAIL' report.txt | sed '/^PASS/,$d' | sed -E 's/[0-9.]+ MiB/N MiB/g; s/limit=[0-9]+/limit=N/; s/-n [0-9]+/-n N/'

echo 'tasks of srun that know nothing of each other'
export SLURM_STEP_NUM_TASKS=4
run attnres doctor $small | steady
attnres train $small
echo "exit code $?"
unset SLURM_STEP_NUM_TASKS

echo 'no folder'
attnres doctor >report.txt
echo "exit code $?"
grep -A 1 'run folder' report.txt
echo 'the example of its help'
example=$(attnres doctor --help | sed -n 's/^  mpirun -n 4 attnres doctor configs.//p')
ranks 4 attnres doctor $configs/$example >report.txt
echo "exit code $?"

echo 'what is not a launch'
run attnres doctor nowhere.yaml
run attnres doctor $small pipeline.stages=3
