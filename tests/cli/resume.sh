# A run is taken on by --resume, on any number of ranks, to the weights of the uninterrupted run.
quick="$small checkpoint.keep=9"
resume() { # ranks, options
    local n=$1
    shift
    ranks $n attnres train $quick --resume "$@" >out.txt 2>log.txt
    local code=$?
    grep -E '^resuming|^nothing is left|starting fresh' log.txt
    errors_of log.txt
    echo "exit code $code"
}

attnres train $quick train.steps=6 run.dir=whole >whole.txt 2>/dev/null

echo 'nothing to resume: fresh, and says so'
resume 1 optim.schedule=constant train.steps=2 run.dir=moved
echo 'on from there, on two ranks and on three'
attnres train $quick optim.schedule=constant train.steps=6 run.dir=constant >constant.txt 2>/dev/null
resume 2 optim.schedule=constant train.steps=4 run.dir=moved
resume 3 optim.schedule=constant train.steps=6 run.dir=moved
[ "$(hash_of out.txt)" = "$(hash_of constant.txt)" ] && echo 'the same weights'
cut -d: -f2 moved/metrics.jsonl | cut -d, -f1 | tr '\n' ' '
echo 'are the steps in metrics.jsonl'

echo "by the configuration in the run's folder, from there and from elsewhere"
attnres train $quick optim.schedule=constant train.steps=2 run.dir=runs/own >/dev/null 2>&1
ranks 2 attnres train runs/own/config.yaml --resume train.steps=4 >/dev/null 2>&1
mv runs/own moved-own
(cd moved-own && attnres train config.yaml --resume train.steps=6) >out.txt 2>/dev/null
[ "$(hash_of out.txt)" = "$(hash_of constant.txt)" ] && echo 'the same weights'
run attnres train moved-own/config.yaml 2>log.txt
errors_of log.txt
ls runs

echo 'already done'
resume 1 train.steps=6 run.dir=whole
cut -d' ' -f1 out.txt | tr '\n' ' '
[ "$(hash_of out.txt)" = "$(hash_of whole.txt)" ] && echo 'are told; the same weights'

echo 'beyond the end'
resume 1 train.steps=3 run.dir=whole
[ "$(hash_of out.txt)" = "$(hash_of whole.txt)" ] && echo 'the same weights'

echo 'back to an earlier step: metrics are cut, later checkpoints go'
resume 2 train.steps=6 run.dir=whole --resume=whole/checkpoints/step-00000002 checkpoint.every=3
[ "$(hash_of out.txt)" = "$(hash_of whole.txt)" ] && echo 'the same weights'
ls whole/checkpoints
cut -d: -f2 whole/metrics.jsonl | cut -d, -f1 | tr '\n' ' '
echo 'are the steps in metrics.jsonl'

echo 'from another folder'
resume 1 train.steps=6 run.dir=branch --resume=whole
resume 1 train.steps=6 run.dir=branch2 --resume=nowhere
resume 1 train.steps=6 run.dir=branch2 --resume=$configs

echo 'not into a folder that holds another run; a rehearsal finds what is not there, too'
resume 1 train.steps=6 run.dir=constant --resume=whole
echo 'but into one of an attempt that has saved nothing'
mkdir -p attempt/checkpoints && : >attempt/metrics.jsonl
resume 1 train.steps=6 run.dir=attempt --resume=whole
resume 1 train.steps=6 run.dir=branch2 --dry-run --resume=nowhere
attnres train $quick --resume=whole --dry-run run.dir=branch2 >out.txt 2>log.txt && echo 'found'
resume 1 --dry-run --resume=whole run.dir=branch2 model.ff=32
resume 2 --dry-run run.dir=whole model.ff=32
attnres train $quick --dry-run run.dir=whole 2>&1 >/dev/null | grep ^attnres

echo 'an earlier step is gone on from with other settings: nothing of the abandoned steps stays'
attnres train $quick train.steps=6 checkpoint.every=1 run.dir=turned >/dev/null 2>&1
resume 1 run.dir=turned --resume=turned/checkpoints/step-00000002 train.steps=7 checkpoint.every=5 optim.lr=1e-3
ls turned/checkpoints

echo 'a damaged one is passed over, by name of the run as well, and takes no place'
attnres train $quick train.steps=4 checkpoint.every=1 run.dir=hurt >/dev/null 2>&1
printf '\252' | dd of=hurt/checkpoints/step-00000004/model-00001.safetensors bs=1 seek=5000 conv=notrunc status=none
attnres train $quick train.steps=5 run.dir=from-hurt --resume=hurt 2>&1 >/dev/null | grep -c '^resuming after step 3$'
resume 1 run.dir=hurt train.steps=5 checkpoint.every=0 checkpoint.keep=2
ls hurt/checkpoints

echo 'what may not change, what is warned of, what is free'
resume 2 train.steps=6 run.dir=whole model.dim=32 run.seed=2
sed 's/, "time.*//' whole/STATUS
resume 1 train.steps=6 run.dir=whole train.init=nowhere
resume 1 train.steps=7 run.dir=whole optim.lr=1e-3 checkpoint.every=1 train.log_every=5 pipeline.schedule=gpipe

echo 'saved by the clock: the same weights, and every rank saves at the same step'
ranks 2 attnres train $quick train.steps=6 run.dir=clock checkpoint.every=0 checkpoint.minutes=1e-7 >out.txt 2>log.txt
[ "$(hash_of out.txt)" = "$(hash_of whole.txt)" ] && echo 'the same weights'
ls clock/checkpoints
