run attnres data make ptr 2 - --hops 3
run attnres data info nowhere
echo "to be or not to be" >a.txt
run attnres data prepare a.txt a.bin
run attnres data info a.bin
run attnres data info a.txt
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
mkdir folder
run attnres data make stories 1 folder
ls folder.partial 2>&1
run attnres data info ptr.tsv --json | sed '$d' | tail -n 1 | python3 -m json.tool >/dev/null && echo 'valid JSON'
run attnres data prepare nowhere.txt out.bin
run attnres data prepare a.txt nowhere/out.bin
ls out.bin 2>&1
