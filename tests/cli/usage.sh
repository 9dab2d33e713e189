run attnres | sed '1d'
run attnres trian
run attnres train --color
run attnres train one.yaml two.yaml
run attnres train one.yaml train.steps
run attnres train one.yaml -n 2
run attnres eval -json
run attnres train ''
run attnres report runs --out=
run attnres train --resume=
run attnres plan --calibrate
run attnres generate run --prompt=
echo 'what would be ignored is refused'
run attnres train --dry-run --json
run attnres data info nowhere --seed=3
run attnres data prepare nowhere.txt out.bin --seed=2 --hops=9
run attnres data make stories 1 - --json
run attnres config --explain optim.lr nowhere.yaml
run attnres config --list bad.key=3
run attnres config --list --explain optim.lr
run attnres config --help-text --run-dir run.dir=here
run attnres config --dump --run-dir run.dir=here
run attnres data make stories many -
attnres data make stories 99999999999999999999 - 2>&1 | head -n 2 # without end, were it taken
run attnres eval nowhere --task=hop
