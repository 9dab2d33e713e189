# Figures and a page of runs, with what other commands have left there. Numbers are not looked at
# here, but that every file is what its name says.
for kind in standard block_full; do
    for dim in 16 24; do
        attnres train $small run.dir=runs/$kind-$dim model.kind=$kind model.dim=$dim >/dev/null 2>&1
    done
    attnres inspect runs/$kind-24 --windows=1 --json >runs/$kind-24/inspect.json
    attnres inspect runs/$kind-24/checkpoints/step-00000002 --windows=1 --json >runs/$kind-24/inspect-2.json
    attnres eval runs/$kind-24 --task=hops --items=4 --json >runs/$kind-24/hops.jsonl
done
sed -i -E 's/("time_s": )[0-9.e-]+/\11/' runs/*-16/metrics.jsonl # on the clock as on compute
sed -i -E 's/("time_s": )[0-9.e-]+/\12/' runs/*-24/metrics.jsonl
check() { # folder
    python3 - "$1" <<'END'
import pathlib, sys, xml.dom.minidom
from html.parser import HTMLParser
folder = pathlib.Path(sys.argv[1])
page = (folder / "index.html").read_text()
HTMLParser().feed(page)
for path in sorted(folder.iterdir()):
    if path.suffix == ".svg":
        xml.dom.minidom.parse(str(path))
        assert path.read_text()[path.read_text().index("<svg"):] in page
    elif path.suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG")
    print(path.name)
print(page.count("times</b>"), "findings,", page.count("<svg"), "figures,", page.count("<img"), "timelines, scripts:", page.count("<script"))
END
}
run attnres report runs/*
check report
grep -c 'times as much standard needs' report/multiplier.gp # and at what compute
grep -o 'set ytics (.block_full.nat [0-9.e+]* FLOPs. 0)' report/multiplier.gp | head -n 1 | sed -E 's/[0-9.]+e/Ne/'
attnres report runs/* --time --out=timed >/dev/null 2>&1
grep -c 'block_full.nat .* seconds' report/multiplier.gp timed/multiplier.gp

attnres report runs/* --baseline=block_full --out=other 2>/dev/null
sed -n 's|.*curves \(.*\) needs .* with which \(.*\) reaches.*|\2 against \1|p' other/index.html
run attnres report runs/* --baseline=blocks --out=none
python3 -c "import struct; print(*struct.unpack('>2I', open('report/loss-steps.png', 'rb').read()[16:24]))"

# A baseline that hardly falls: its multiplier is beyond all axes. And a figure that fails.
mkdir flat
cp -r runs/* flat
for dim in 16 24; do
    sed -i -E "s/(\"val_loss\": )[0-9.e-]+/\15.00000$((40 - dim))/" flat/standard-$dim/metrics.jsonl
    sed -i -E "s/(\"val_loss\": )[0-9.e-]+/\14.$dim/" flat/block_full-$dim/metrics.jsonl
done
run attnres report flat/* --out=flat-report
sed -i -E "s/(\"val_loss\": )[0-9.e-]+/\15.001/" flat/standard-16/metrics.jsonl
attnres report flat/* --out=steep >/dev/null 2>&1
sed -n 's/.*\(needs <b>.* times<.b>\).*/\1/p' flat-report/index.html steep/index.html
mkdir failing
cat >failing/gnuplot <<END
#!/bin/sh
case "\$2" in loss-steps.gp) echo 'no such font'; exit 1 ;; esac
PATH=$PATH exec gnuplot "\$@"
END
chmod +x failing/gnuplot
failing_gnuplot() { PATH="$PWD/failing:$PATH" "$@"; }
run failing_gnuplot attnres report runs/* --out=failed
cat failed/loss-steps.log
check failed | tail -n 1

# A run whose loss does not compare: no figure of losses has it.
cp -r runs/standard-24 apart
sed -i -E 's/(eval_tokens: ).*/\11024/' apart/config.yaml
run attnres report runs/* apart --out=of-one-kind | grep apart
grep -c 'standard (2 runs)\|standard-24 (standard)' of-one-kind/loss-steps.gp
grep -c 'apart (standard)' of-one-kind/loss-steps.gp
grep -oh "<p>[0-9]* runs[^<]*" report/index.html of-one-kind/index.html

# A run that is done and has not measured what is fitted.
cp -r runs/standard-16 unmeasured
sed -i -E 's/, "val_loss": [0-9.e-]+//' unmeasured/metrics.jsonl
attnres report unmeasured --out=of-none 2>&1 | grep 'val_loss\|no fit'
attnres report unmeasured runs/standard-24 --out=of-both >/dev/null 2>&1
grep -o '<th>steps.*loss</th>\|<td>4</td><td>[0-9]*[.][0-9]*</td><td>[0-9.]*</td>' of-both/index.html | without_numbers

# One run that is not done, with a name that is none for gnuplot or a page, and a timeline.
attnres train $small run.dir=one train.steps=100000 >/dev/null 2>&1 &
until_true test -s one/metrics.jsonl
kill_job $!
mkdir -p one/trace && echo '<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>' >one/trace/step.svg
mv one "it's <b>\`1\`"
run attnres report "it's <b>\`1\`" --out=of/one
check of/one | tail -n 1
grep -c "it?s" of/one/index.html

# Without gnuplot; what a figure was drawn of has gone.
rm -r runs/*/hops.jsonl
without_gnuplot() { PATH="${PATH%%:*}" "$@"; }
run without_gnuplot attnres report runs/standard-* --out=report
check report

# What report has not made stays.
mkdir mine drawn
echo '<h1>my page</h1>' >mine/index.html
echo 'my picture' >drawn/hops.svg
run attnres report runs/block_full-16 --out=mine
run attnres report runs/block_full-16 --out=drawn
cat mine/* drawn/*

echo '{"step": 1, "layers": 2}' >runs/standard-16/inspect.json
echo '{"task": "ptr"}' >runs/standard-24/hops.jsonl
run attnres report runs/standard-16 runs/standard-24 nowhere
run attnres report runs/standard-16 runs/block_full-16 --out=two
run attnres report runs nowhere runs/standard-16/config.yaml --out=none
run attnres report
run attnres report runs/block_full-16 --out=/dev/null/x

echo 'runs of several rates are drawn, but in no fit and no mean'
cp -r runs/standard-16 faster
run attnres report runs/standard-16 faster runs/standard-24 --out=rates
grep -c '^\$r' rates/loss-steps.gp rates/loss-compute.gp
