# What a model does along its depth. Which source is the heaviest depends on the instruction set.
without_reads() { without_numbers | sed -E '/^read  /,/^$/d; /^The heaviest/,/^exit/s/ +(b[0-9]|own) N/ SOURCE N/g'; }
attnres train $small >/dev/null 2>&1
run attnres inspect run | without_reads
run attnres inspect run/checkpoints/step-00000002 --prompt='AB<&' --svg=p.svg | without_reads
attnres inspect run --prompt="9	 A
" | sed -n '/^What/,/^The/p' | sed -n '3,8s/ \+.\.[0-9]\{3\}/ N/gp' # no two bytes look alike
python3 - <<END # shades by the root of the weight, as in the maps of attnres report
import math, re, xml.dom.minidom
xml.dom.minidom.parse("p.svg")
RED = [0xf7, 0xd0, 0x94, 0x4a, 0x17, 0x08, 0x08]
cells = re.findall('fill="#(..)...."><title>[^<]*: ([0-9.]+)</title>', open("p.svg").read())
for red, weight in cells:
    shades = []
    for w in (float(weight) - 0.0005, float(weight) + 0.0005):
        place = 5 * math.sqrt(min(max(w, 0), 1))
        i = int(place)
        shades.append(RED[i] + (RED[i + 1] - RED[i]) * (place - i))
    assert shades[1] - 1 <= int(red, 16) <= shades[0] + 1, (red, weight)
print(len(cells) > 0, "valid XML")
END
run attnres inspect run --hide=all | without_numbers | sed -n '/^without/,$p'
run attnres inspect run --hide=b1
run attnres inspect run --windows=2 --json >run/inspect.json
sed -i 1d run/inspect.json
python3 - <<END
import json
found = json.loads(open("run/inspect.json").readline())
print(sorted(found))
print(found["sources"], found["reads"], found["tokens"])
print([round(sum(w for w in row if w is not None), 5) for row in found["map"]])
END
attnres train $small model.kind=standard run.dir=standard >/dev/null 2>&1
run attnres inspect standard --prompt=ABC | without_numbers
run attnres inspect standard --prompt=ABC --svg=standard.svg
ls standard.svg 2>&1
attnres train $small model.kind=full model.read=static data.kind=text data.train=$configs/reference.yaml run.dir=full >/dev/null 2>&1
run attnres inspect full --windows=1 | without_reads | head -n 7
run attnres inspect full --windows=2 --file=$configs/text.yaml | without_numbers | sed -n 3p
# However the run was cut.
ranks 2 attnres train $small pipeline.schedule=interleaved pipeline.chunks=2 pipeline.group=2 pipeline.cache=on \
    memory.recompute=all representative.value=int8 model.tied=true run.dir=cut >/dev/null 2>&1
run attnres inspect cut | without_numbers | head -n 2

run ranks 2 attnres inspect run
run attnres inspect run --prompt=A
seq 2000 >numbers.txt
attnres data prepare numbers.txt shard.bin >/dev/null
attnres train $small run.dir=tokens data.kind=tokens data.train=shard.bin model.vocab=300 >/dev/null 2>&1
run attnres inspect tokens --prompt=AB
run attnres inspect run --prompt=123456789012345678901234567890123
run attnres inspect run --svg=p.svg
run attnres inspect run --windows=0
run attnres inspect run --prompt=AB --windows=2
run attnres inspect run --prompt=AB --file=numbers.txt
run attnres inspect nowhere
run attnres inspect full data.train=gone.txt
attnres inspect run $(for i in $(seq 240); do echo trace.steps=0; done) 2>&1 | tail -n 1
run attnres inspect run --prompt=AB --svg=nowhere/p.svg
run attnres inspect run --prompt=AB --svg=numbers.txt
run attnres inspect run --prompt=AB --svg=run
run attnres inspect run --prompt=AB --svg=p.svg | tail -n 1
