# What checkpoints there are, and whether they are whole.
ranks 2 attnres train $small train.steps=6 checkpoint.keep=9 >/dev/null 2>&1
run attnres checkpoint list run
run attnres checkpoint list run --json
run attnres checkpoint list run/checkpoints/step-00000002
run attnres checkpoint verify run
run attnres checkpoint verify run/checkpoints/step-00000002 --json

echo 'a bit of a tensor, a bit of a header, a manifest gone'
newest=run/checkpoints/step-00000006
printf '\252' | dd of=$newest/model-00001.safetensors bs=1 seek=5000 conv=notrunc status=none
printf '9' | dd of=$newest/optim-00002.safetensors bs=1 seek=100 conv=notrunc status=none
rm run/checkpoints/step-00000004/manifest.json
run attnres checkpoint list run
run attnres checkpoint verify run
run attnres checkpoint verify run/checkpoints/step-00000004/
run attnres checkpoint verify run --json

echo 'nothing there'
run attnres checkpoint verify nowhere
run attnres checkpoint list .
run attnres checkpoint verify run/checkpoints
run attnres checkpoint show run
run attnres checkpoint verify
