# Damaged checkpoints: the newest good one is taken, and all are told of.
common="$small train.steps=6 checkpoint.keep=9"
ranks 2 attnres train $common >whole.txt 2>/dev/null
cp -r run good
flip() { # file, offset
    printf '\252' | dd of="$1" bs=1 seek=$2 conv=notrunc status=none
}
resume() { # ranks
    ranks $1 attnres train $common --resume >out.txt 2>log.txt
    echo "exit code $?"
    errors_of log.txt
    grep -E '^resuming|fresh' log.txt
    [ "$(hash_of out.txt)" = "$(hash_of whole.txt)" ] && echo 'the same weights'
    rm -rf run && cp -r good run
}
newest=run/checkpoints/step-00000006

echo 'a bit of the model'
flip $newest/model-00001.safetensors 5000
resume 1
echo 'moments that only the second rank reads'
flip $newest/optim-00002.safetensors 5000
resume 2
echo 'a manifest cut short'
truncate -s 3000 $newest/manifest.json
resume 2
echo 'a manifest gone, a model file gone in the one before'
rm $newest/manifest.json run/checkpoints/step-00000004/model-00002.safetensors
resume 2
echo 'a file cut short'
truncate -s 5000 $newest/model-00002.safetensors
resume 1
echo 'two files swapped'
mv $newest/model-00001.safetensors swap && mv $newest/model-00002.safetensors $newest/model-00001.safetensors
mv swap $newest/model-00002.safetensors
resume 1
echo 'all damaged, each on one rank: fresh on both'
for step in 2 4 6; do
    flip run/checkpoints/step-0000000$step/model-00002.safetensors 5000
done
resume 2
echo 'all damaged, and named by their run'
for step in 2 4 6; do
    flip run/checkpoints/step-0000000$step/model-00001.safetensors 5000
done
run attnres train $common --resume=run run.dir=new 2>log.txt
errors_of log.txt | grep ^attnres
ls new/metrics.jsonl 2>&1
rm -rf run && cp -r good run
echo 'one is named, and damaged'
flip $newest/model-00001.safetensors 5000
run attnres train $common --resume=$newest 2>log.txt
errors_of log.txt
run attnres eval run
run attnres generate run --prompt=A

# checkpoints/ leads each rank to a folder of its own, as on a host that has not mounted what others have.
beside() { # command's words: rank 0 in here/, rank 1 in there/
    mpirun --quiet --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 1 --wdir "$PWD/here" "$@" : \
        -n 1 --wdir "$PWD/there" "$@"
}
mkdir here there
attnres train $small run.dir=shared >/dev/null 2>&1
mv shared/checkpoints here/mine
ln -s /proc/self/cwd/mine shared/checkpoints
cp shared/metrics.jsonl before.jsonl
echo 'rank 1 sees no checkpoint: nothing begins afresh'
beside attnres train $small run.dir="$PWD/shared" train.steps=6 --resume >/dev/null 2>unseen.log
echo "exit code $?"
errors_of unseen.log
grep -o 'but rank 0 sees it.*' unseen.log
echo 'nor if rank 0 does not'
mv here/mine there
beside attnres train $small run.dir="$PWD/shared" train.steps=6 --resume >/dev/null 2>unseen.log
echo "exit code $?"
errors_of unseen.log
echo 'each rank would find another one'
cp -r there/mine here
attnres train $small run.dir=other run.seed=2 >/dev/null 2>&1
rm -r there/mine/* && cp -r other/checkpoints/* there/mine
beside attnres eval "$PWD/shared" --task=loss >/dev/null 2>unseen.log
echo "exit code $?"
errors_of unseen.log
beside attnres train $small run.dir="$PWD/new" train.steps=6 --resume="$PWD/shared" >/dev/null 2>unseen.log
echo "exit code $?"
errors_of unseen.log
ls here/mine
cmp before.jsonl shared/metrics.jsonl && echo 'as it was'

echo 'each rank would train on another text'
yes 'to be or not to be' | head -c 4000 | tee here/t.txt >here/v.txt
for other in 't tr b c' 't head -c 3000' 'v tr b c'; do
    cp here/*.txt there
    set -- $other
    "${@:2}" <here/$1.txt >there/$1.txt
    beside attnres train $small data.kind=text data.train=t.txt data.val=v.txt run.dir="$PWD/torn" >/dev/null 2>unseen.log
    echo "exit code $?"
    errors_of unseen.log
done

# The first and the last rank read it; which of them meets the hole first, or whether both do, is chance.
echo 'the data cut short under a run'
yes 'to be or not to be' | head -c 400000 >text.txt
cp text.txt whole.text
text="$small data.kind=text data.train=text.txt optim.schedule=constant train.eval_every=0 checkpoint.every=5"
launch 2 attnres train $text train.steps=1000000 run.dir=cut >out.txt 2>log.txt
job=$!
until_true has_saved cut 5
truncate -s 2000 text.txt
wait $job
echo "exit code $?"
errors_of log.txt
cat whole.text >text.txt
newest=$(ls cut/checkpoints | tail -n 1)
steps=$((10#${newest#step-} + 2))
ranks 2 attnres train $text train.steps=$steps run.dir=cut --resume >out.txt 2>/dev/null
attnres train $text train.steps=$steps run.dir=uncut >whole.txt 2>/dev/null
[ "$(hash_of out.txt)" = "$(hash_of whole.txt)" ] && echo 'resumed: the same weights'

echo 'files of a run that lead out of its folder'
for name in .lock log.txt; do
    echo 'mine' >mine.txt
    ln -sf ../mine.txt other/$name
    attnres train $small run.dir=other run.seed=2 train.steps=6 --resume >/dev/null 2>log.txt
    echo "exit code $?"
    errors_of log.txt
    cat mine.txt
    rm other/$name
done
