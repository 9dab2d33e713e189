run attnres data make ptr 2 - --hops 3
run attnres data info nowhere
echo "to be or not to be" >a.txt
run attnres data prepare a.txt a.bin
run attnres data info a.bin
run attnres data info a.txt
run attnres train $small data.kind=text data.train=a.bin run.dir=none 2>&1 | grep -E '^(attnres|exit|step)'
run attnres data prepare a.bin again.bin
head -c 100 a.bin >b.bin
run attnres data info b.bin

echo 'items: the same for the same seed'
for task in stories ptr phop vars perm; do
    run attnres data make $task 100 $task.tsv --seed=1
    echo "$(wc -l <$task.tsv) lines, CRC and bytes $(cksum <$task.tsv)"
    attnres data make $task 100 - --seed=1 | cmp - $task.tsv
    attnres data make $task 100 - --seed=2 | cmp -s - $task.tsv && echo 'seeds do not matter'
done
run attnres data make stories 1 nowhere/items.tsv
run attnres data make ptr 1 - --hops=4294967297
mkdir folder
run attnres data make stories 1 folder
run attnres data prepare a.txt folder
ls folder.partial 2>&1

# What is there and of another kind stays: with OUT forgotten the last input is taken for it.
echo "the only copy" >only.txt
run attnres data prepare a.txt only.txt
run attnres data prepare a.txt ./a.txt
cp a.bin text.bin
run attnres data prepare a.bin text.bin text.bin
run attnres data make ptr 2 only.txt
run attnres data make ptr 2 a.bin
cat only.txt a.txt
cmp a.bin text.bin && echo 'as it was'
: >empty
run attnres data prepare a.txt empty
run attnres data prepare a.txt empty
run attnres data make ptr 2 ptr.tsv
run attnres data info ptr.tsv --json | sed '$d' | tail -n 1 | python3 -m json.tool >/dev/null && echo 'valid JSON'
run attnres data prepare nowhere.txt out.bin
run attnres data prepare a.txt nowhere/out.bin
ls out.bin 2>&1
