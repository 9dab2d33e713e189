run ranks 2 attnres train $small >whole.txt 2>whole.log
without_numbers <whole.txt
run ls run run/checkpoints
run attnres train $small 2>again.log
errors_of again.log

echo 'stopped at once, and on to the same weights on another number of ranks'
mkdir other && touch other/STOP
run ranks 2 attnres train $small run.dir=other 2>stopped.log | tail -n 1
errors_of stopped.log
run ls other/STOP
run attnres train $small run.dir=other --resume >resumed.txt 2>resumed.log
tail -n 1 resumed.txt
[ "$(hash_of whole.txt)" = "$(hash_of resumed.txt)" ] && echo 'the same weights'
run attnres train $small run.dir=other --resume model.dim=32 2>changed.log
errors_of changed.log

run ranks 2 attnres eval run --task=loss | without_numbers
run attnres eval run --task=hops --items=10 | without_numbers
run attnres generate run --prompt=AB --tokens=3 --temperature=0 >one.txt
run ranks 2 attnres generate run --prompt=AB --tokens=3 --temperature=0 >two.txt
if cmp -s <(sed 1d one.txt) <(sed 1d two.txt); then
    echo 'the same text on one rank and on two'
else
    od -c one.txt two.txt
fi

echo 'time_s of the metrics leaves evaluations out'
start_ns=$(date +%s%N)
attnres train $small train.eval_tokens=50000 run.dir=timed --json >timed.json 2>/dev/null
python3 - $(($(date +%s%N) - start_ns)) <<'END'
import json, sys
result = json.load(open("timed.json"))
last = [json.loads(line) for line in open("timed/metrics.jsonl")][-1]
evaluated_s = result["summary"]["sections"]["evaluate"]["mean_s"]
print("spent" if 0 < last["time_s"] <= result["time_s"] else (last, result))
print("left out" if last["time_s"] + evaluated_s < int(sys.argv[1]) * 1e-9 else (last, evaluated_s, sys.argv[1]))
END
