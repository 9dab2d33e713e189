# Bytes per step over all ranks, as the run's last line has them.
wire_bytes() {
    sed -n 's/.*"wire_bytes": \([0-9]*\).*/\1/p' "$1/metrics.jsonl" | tail -n 1
}
smaller='model.dim=32 train.steps=3'

echo 'fewer bytes, the same weights'
run ranks 2 attnres train $small $smaller run.dir=off >off.txt 2>off.log
run ranks 2 attnres train $small $smaller run.dir=on pipeline.deflate=on >on.txt 2>on.log
[ "$(hash_of off.txt)" = "$(hash_of on.txt)" ] && echo 'the same weights'
[ "$(wire_bytes on)" -lt "$(wire_bytes off)" ] && echo 'fewer bytes'

echo 'auto measures between hosts alone'
run ranks 2 attnres train $small $smaller run.dir=measured pipeline.deflate=auto >measured.txt 2>measured.log
grep -o 'deflate.*' measured.log
[ "$(wire_bytes measured)" = "$(wire_bytes off)" ] && echo 'as many bytes as off'

echo 'free to change on resume'
run ranks 2 attnres train $small $smaller run.dir=on pipeline.deflate=auto train.steps=4 \
    --resume >more.txt 2>more.log
tail -n 1 more.txt
run attnres train $small pipeline.deflate=onn 2>typo.log
errors_of typo.log
