# Points of a file, and folders of runs.
cat >paper.csv <<'END'
# Attention Residuals, arXiv 2603.15031: PFLOP/s-days and loss
kind,compute,loss
standard,0.69,1.931
standard,1.04,1.895
standard,1.69,1.829
standard,3.35,1.766
standard,5.60,1.719
block,0.69,1.909
block,1.04,1.875
block,1.69,1.809
block,3.35,1.746
block,5.60,1.693
END
run attnres fit paper.csv
attnres fit - <paper.csv | cmp - <(attnres fit paper.csv) && echo 'a pipe gives the same'
printf 'kind,compute,loss\nblock,1,none\n' | run attnres fit -
run attnres fit - </dev/null
# Last digits are the C library's.
run attnres fit paper.csv --baseline=block --at=1 --json | sed -E 's/([0-9]\.[0-9]{6})[0-9]+/\1/g'

# kind dim seed flops loss [step]: the folder of a run of 40 steps
forge() {
    local dir=runs/$1-$2-$3
    mkdir -p "$dir"
    attnres config "$small" --dump "run.dir=$dir" "run.seed=$3" "model.kind=$1" "model.dim=$2" train.steps=40 \
        >"$dir/config.yaml"
    printf '{"step": 1, "loss": 5.5, "tokens": 128, "flops": 1e6, "time_s": 0.1}\n' >"$dir/metrics.jsonl"
    printf '{"step": %d, "loss": 2.1, "tokens": %d, "flops": %s, "time_s": %s, "val_loss": %s}\n{"step"' \
        "${6-40}" $((128 * $2)) "$4" "0.$2$3" "$5" >>"$dir/metrics.jsonl"
}
for dim in 16 32 64; do
    for seed in 1 2 3; do
        forge standard $dim $seed $dim.0e9 "$((2100 - 10 * dim + 3 * seed)).5e-3"
        forge block_full $dim $seed $dim.1e9 "$((2050 - 10 * dim + 3 * seed + dim * seed % 3)).5e-3"
    done
done
forge block 64 1 64e9 1.5 20
run attnres fit runs/*
run attnres fit runs/* --x=time --seed=2 --redraws=500
run attnres fit runs/standard-*-1 runs/block_full-*-1 --x=tokens
run attnres fit runs/block_full-*

# The clock of one size has no slope, two sizes less one have none either.
run attnres fit runs/*-16-* --x=time
run attnres fit runs/*-16-* runs/*-64-* --x=time
# Only one of the two has the largest size; steps of about equal compute; beyond the runs.
run attnres fit runs/standard-* runs/block_full-16-* runs/block_full-32-*
sed -i '2s/"tokens": 2048/"tokens": 2100/' runs/block_full-16-*/metrics.jsonl
run attnres fit runs/*-16-* runs/*-64-* --at=1e12

# Every size with the same tokens; then 20 a parameter but for two runs: that is no law.
law() { awk -v fixed="$1" 'BEGIN {
    print "kind,size,tokens,compute,loss,seed"
    for (i = 0; i < 16; i++) {
        n = 1e5 * 4 ^ int(i / 4); d = fixed ? 20 * n * (1 + (i < 2)) : 5e5 * 4 ^ (i % 4)
        printf "standard,%d,%d,%g,%.5f,%d\n", n, d, 6 * n * d, 1 + 20 * n ^ -0.3 + 30 * d ^ -0.3 + 0.008 * sin(7 * i), i
    }
}'; }
law 0 >laws.csv
run attnres fit laws.csv | tail -n 4
law 1 >law.csv
run attnres fit law.csv | tail -n 3

# What does not compare, has only begun, or is no run.
mkdir -p begun other
attnres config "$small" --dump run.dir=begun >begun/config.yaml
cp runs/standard-32-1/metrics.jsonl other
attnres config "$small" --dump run.dir=other model.seq_len=32 train.eval_tokens=64 train.steps=40 data.kind=text data.train=a.txt \
    >other/config.yaml
cp -r runs/standard-32-1 answers
sed -i 's/loss: all/loss: answer/' answers/config.yaml
cp -r runs/standard-32-1 asked
sed -i 's/task: ptr/task: phop/' asked/config.yaml
run attnres fit other runs/standard-16-[12] begun answers asked runs
# One file by several paths, here and elsewhere; another of the same name.
printf 'text' >val.txt
mkdir -p copy others
printf 'text' >copy/val.txt
printf 'TEXT' >others/val.txt
seed=0
for data in val.txt "$PWD/val.txt" copy/val.txt others/val.txt nowhere/val.txt /lost/nowhere/val.txt; do
    mkdir -p on/$((++seed))
    sed "s|kind: synthetic|kind: text|; s|  val: .*|  val: $data|; s|  train: .*|  train: a.txt|; s|seed: .*|seed: $seed|" \
        runs/standard-32-1/config.yaml >on/$seed/config.yaml
    cp runs/standard-32-1/metrics.jsonl on/$seed
done
run attnres fit on/* 2>&1 | sed -n 1,7p
for seed in 4 5 6 7 8 9; do forge block 64 $seed 64e9 1.5 "$((2 * seed))"; done
run attnres fit runs/standard-16-1 begun runs/block-64-[1-9]
rm -r runs/block-64-[4-9]

# Runs that differ in a learning rate alone, some of them from a file: all of them are left out.
cp -r runs/standard-16-1 twin
printf 'kind,size,tokens,compute,loss,seed\nstandard,27808,4096,3.2e10,1.8,1\n' >twin.csv
run attnres fit twin runs/standard-* twin.csv 2>&1 | sed -n 1,7p

# What is refused.
run attnres fit
run attnres fit paper.csv --x=steps
run attnres fit paper.csv --x=time
run attnres fit paper.csv --baseline=full
run attnres fit paper.csv --redraws=1
run attnres fit nowhere
run attnres fit runs
run attnres fit runs/block-64-1
run attnres fit twin runs/standard-16-1
printf 'kind,compute,loss\nstandard,1,-2\n' >forged.csv
run attnres fit forged.csv
sed -i '2s/40/1/' runs/standard-16-1/metrics.jsonl
run attnres fit runs/standard-16-1
sed -i '2s/"step": 1/"step": 40/; 2s/16.0e9/-1/' runs/standard-16-1/metrics.jsonl
run attnres fit runs/standard-16-1
# One that is damaged among others.
cp -r runs/standard-16-2 wrong
sed -i 's/layers: .*/layers: many/; s/dim: .*/dim: -1/' wrong/config.yaml
run attnres fit runs/standard-16-1 runs/standard-16-2 wrong 2>&1 | sed -n 1,5p
printf '{"step": 1\n' >runs/standard-16-1/metrics.jsonl
run attnres fit runs/standard-16-1
