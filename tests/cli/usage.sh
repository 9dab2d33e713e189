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
run attnres data make stories many -
attnres data make stories 99999999999999999999 - 2>&1 | head -n 2 # without end, were it taken
run attnres eval nowhere --task=hop
