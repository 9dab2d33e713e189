# Likelihood of choices, the same on any number of ranks.
four_digits() { sed -E 's/(\.[0-9]{4})[0-9]*/\1/g'; }
attnres train $small >/dev/null 2>&1
cat >questions.jsonl <<END
{"question": "AB BC|1A", "choices": ["X", "Y", "a longer one"], "answer": "X"}
{"question": "2 + 2", "choices": ["= 3", "= 4"], "answer": 1}

{"question": "A question that is longer than the window of 32 bytes", "choices": ["yes", "no"], "answer": "A"}
END
run attnres eval run --task=choice --file=questions.jsonl >one.json
for n in 2 3; do
    run ranks $n attnres eval run --task=choice --file=questions.jsonl >$n.json
    cmp <(sed 1d one.json) <(sed 1d $n.json) && echo 'the same'
done
run ranks 4 attnres eval run --task=choice --file=questions.jsonl pipeline.replicas=2 >4.json
cmp <(sed 1d one.json) <(sed 1d 4.json) && echo 'the same'
sed 1d one.json | without_numbers
sed -n 2p one.json | python3 -m json.tool >/dev/null && echo 'valid JSON'
head -n 1 questions.jsonl >single.jsonl
run attnres eval run --task=choice --file=single.jsonl --join= | without_numbers
cmp <(attnres eval run --task=choice --file=single.jsonl | four_digits) \
    <(attnres eval run --task=choice --file=single.jsonl model.seq_len=24 batch.microbatch=4 | four_digits) &&
    echo 'the same in shorter windows'
printf '{"good": "AB BC CA", "bad": "AB bc CA"}\n{"good": "x", "bad": "y"}\n' >pairs.jsonl
run attnres eval run --task=pairs --file=pairs.jsonl | without_numbers

# An evaluation file of llm.c whose tokens happen to be bytes.
python3 - <<END
import struct
def example(index, answer, context, *endings):
    words = [index, answer, len(endings)]
    for text in (context, *endings):
        words += [len(text), *text]
    return struct.pack(f"<{len(words) + 2}H", 65535, 2 * len(words) + 4, *words)
for name, last in ("bytes.bin", b"= 4"), ("gpt2.bin", [50256]):
    examples = [example(0, 0, b"AB BC|1A", b" B", b" C"), example(1, 1, b"2 + 2", b"= 3", last)]
    header = struct.pack("<4i", 20240522, 1, 2, max(map(len, examples))) + bytes(1008)
    open(name, "wb").write(header + b"".join(examples))
open("torn.bin", "wb").write(open("bytes.bin", "rb").read()[:-2])
END
run attnres eval run --task=choice --file=bytes.bin | without_numbers
run attnres eval run --task=choice --file=gpt2.bin
run attnres eval run --task=choice --file=torn.bin
run ranks 2 attnres eval run --task=choice --file=torn.bin
run attnres eval run --task=pairs --file=bytes.bin

run attnres eval run --task=choice
run attnres eval run --task=choice --file=nowhere.jsonl
run attnres eval run --task=choice --file=pairs.jsonl
run attnres eval run --task=pairs --file=questions.jsonl
printf '{"question": "?", "choices": ["a", "%s"], "answer": 0}\n' "$(head -c 40 /dev/zero | tr '\0' x)" >long.jsonl
run attnres eval run --task=choice --file=long.jsonl
run attnres eval run --task=choice --file=/dev/null
