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

echo 'what metrics and eval say can be computed from each other'
few="$small optim.warmup_steps=2 train.steps=6"
ranks 2 attnres train $few run.dir=often >/dev/null 2>&1
ranks 2 attnres train $few run.dir=twice train.log_every=4 >/dev/null 2>&1
attnres train $few run.dir=parts train.steps=4 >/dev/null 2>&1
attnres train $few run.dir=parts --resume >/dev/null 2>&1
attnres eval run >eval.json
python3 - <<'END'
import json, math
def lines(run):
    return [json.loads(line) for line in open(run + "/metrics.jsonl")]
peak, warmup, steps = 3e-3, 2, 6
often, twice, parts = lines("often"), lines("twice"), lines("parts")
def rate(step):
    return step / warmup if step <= warmup else 0.1 + 0.45 * (1 + math.cos(math.pi * (step - 1 - warmup) / (steps - warmup)))
print("lr", all(math.isclose(x["lr"], peak * rate(x["step"]), rel_tol=1e-12) for x in often) or [x["lr"] / peak for x in often])
print("bits", all(math.isclose(x["bits_per_byte"], x["val_loss"] / math.log(2)) for x in often if "val_loss" in x))
print("sent", {x["wire_bytes"] for x in often} == {x["wire_bytes"] for x in twice} and often[0]["wire_bytes"] > 0)
print("time", all(a["time_s"] < b["time_s"] for a, b in zip(parts, parts[1:])), [x["step"] for x in parts])
print("first and last", [x["step"] for x in twice])
def is_mean(a, b):
    return math.isclose(b["step_s"] * (b["step"] - a["step"]), b["time_s"] - a["time_s"], rel_tol=1e-6)
print("means", all(is_mean(a, b) for run in (often, twice) for a, b in zip(run, run[1:])),
      all(x["bubble"] <= 1 for x in often + twice))
result = json.load(open("eval.json"))
print("eval", math.isclose(result["bits_per_byte"], result["loss"] / math.log(2)))
END
