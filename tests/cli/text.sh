# Text as it is, and as tokens: the same bytes give the same run.
for i in $(seq 400); do echo "line $i of a text that is not very long"; done >book.txt
mkdir books && cp book.txt books/a.txt && gzip -c book.txt >books/b.txt.gz
cp book.txt books/notes.md
cp book.txt books/.hidden.txt
gzip -c book.txt >zipped.txt.gz
text="$small data.kind=text train.steps=2"
run attnres data info books
run attnres data prepare book.txt book.bin
run attnres data info book.bin --json

one() { # name, options
    local name=$1
    shift
    ranks 2 attnres train $text run.dir=$name "$@" >$name.txt 2>$name.log || { echo "exit code $?"; errors_of $name.log; return; }
    echo "$name: $(cut -d' ' -f1 $name.txt | tr '\n' ' ')"
}
same() {
    [ "$(hash_of $1.txt)" = "$(hash_of $2.txt)" ] && echo "$1 and $2: the same weights"
}
one plain data.train=book.txt data.val=book.txt
one gzip data.train=zipped.txt.gz data.val=book.txt
one tokens data.kind=tokens data.train=book.bin data.val=book.bin
same plain gzip
same plain tokens
one split data.train=book.txt
grep -o '"val_loss"' split/metrics.jsonl | sort -u
one folder data.train=books
one glob 'data.train=books/*.txt*'
same folder glob

echo 'what cannot be trained on'
one absent data.train=nowhere
one short data.train=$configs/quickstart.yaml model.seq_len=4096 model.dim=16
printf 'not gzip' >broken.txt.gz
one broken data.train=broken.txt.gz
one foreign data.kind=tokens data.train=book.txt
one wide data.kind=tokens data.train=book.bin model.vocab=64
one large data.train=zipped.txt.gz data.max_bytes=8000 | sed -E 's,than [0-9]+,than N,'

echo 'the data of a resumed run must have the size it had'
run ranks 2 attnres train $text run.dir=plain data.train=books data.val=book.txt train.steps=3 --resume 2>again.log
errors_of again.log
echo 'and the contents'
sed 's/line 7 /line 8 /' book.txt >other.txt
run ranks 2 attnres train $text run.dir=plain data.train=other.txt data.val=book.txt train.steps=3 --resume 2>again.log
errors_of again.log

echo 'and be cut into files as they were'
mkdir cut && head -c 4000 book.txt >cut/a.txt && tail -c +4001 book.txt >cut/b.txt
one pieces data.train=cut data.val=book.txt
run ranks 2 attnres train $text run.dir=pieces data.train=book.txt data.val=book.txt train.steps=3 --resume 2>again.log
errors_of again.log
echo 'of other validation data it warns'
attnres train $text run.dir=plain data.train=book.txt data.val=other.txt train.steps=3 --resume 2>again.log >/dev/null && errors_of again.log

echo 'files without a window are told; one text twice is refused; subfolders are not searched'
mkdir brief twice deep deep/er
cp book.txt brief/long.txt
for i in 1 2 3; do head -c 32 book.txt >brief/$i.txt; done
attnres train $text run.dir=brief-run data.train=brief data.val=book.txt 2>brief.log >/dev/null && errors_of brief.log
cp book.txt twice/a.txt && gzip -k twice/a.txt
run attnres data info twice
run attnres data info 'twice/*'
run attnres data info 'twice/*.gz' | head -n 3
run attnres data info deep

echo 'validation data shorter than a window: nothing while training, a window afterwards'
head -c 20 book.txt >tiny.txt
run attnres train $text run.dir=none data.train=book.txt data.val=tiny.txt 2>&1 | grep -E '^(attnres|exit)'
run attnres eval plain data.val=tiny.txt | without_numbers
