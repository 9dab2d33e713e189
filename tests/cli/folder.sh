# The run's folder: where it goes, what is in the way, and what a failed start leaves.
echo 'named after the configuration, or by run.dir'
grep -v '^run:' $small >mine.yaml
run attnres train mine.yaml 2>/dev/null | tail -n 2
run attnres train 2>&1 | tail -n 2
run attnres train mine.yaml run.dir= 2>&1 | tail -n 2

echo 'something in the way'
touch file
run attnres train $small run.dir=file/run 2>&1 | tail -n 2
attnres doctor $small run.dir=file/run >report.txt 2>&1
echo "exit code $?"
grep -A1 'run folder' report.txt
tail -n 1 report.txt
attnres train $small run.dir=file/run 2>&1 | grep 'run folder'
mkdir blocked && touch blocked/checkpoints
run attnres train $small run.dir=blocked 2>&1 | tail -n 2
mkdir -p blocked2/STATUS
run attnres train $small run.dir=blocked2 2>&1 | tail -n 2

echo 'a start that failed leaves the folder free'
run attnres train $small data.kind=text data.train=nowhere.txt 2>&1 | tail -n 3
sed 's/, "time.*//' run/STATUS
run attnres train $small 2>/dev/null | tail -n 2

echo 'a dry run takes no folder'
run ranks 2 attnres train $small run.dir=dry --dry-run 2>/dev/null | without_numbers | grep -e measured -e total -e 'exit code'
ls dry 2>&1

echo 'step 0, and the newest of all that follow'
attnres train $small run.dir=kept checkpoint.every=1 checkpoint.keep=2 checkpoint.initial=true 2>/dev/null >/dev/null
ls kept/checkpoints
attnres train $small run.dir=initial checkpoint.initial=true 2>/dev/null >/dev/null
ls initial/checkpoints

echo 'weights of another run'
attnres train $small run.dir=born train.init=kept train.steps=1 2>/dev/null >born.txt
cp -r kept bare && rm bare/checkpoints/*/optim-*
attnres train $small run.dir=born2 train.init=bare train.steps=1 2>/dev/null | hash_of /dev/stdin | cmp - <(hash_of born.txt) && echo 'and nothing else of it'
attnres train $small run.dir=drawn train.steps=1 2>/dev/null | hash_of /dev/stdin | cmp -s - <(hash_of born.txt) || echo 'not those drawn'
run attnres train $small run.dir=unborn train.init=nowhere 2>&1 | tail -n 2
run attnres train $small run.dir=unborn train.init=kept model.dim=32 model.tied=true 2>&1 | tail -n 3
