# The same text on any number of ranks, and for the same seed.
attnres train $small >/dev/null 2>&1
text() { # ranks, options
    local n=$1
    shift
    ranks $n attnres generate run --tokens=40 --prompt=AB "$@"
}
for options in --temperature=0 '--temperature=0.7 --top-k=5 --seed=3'; do
    text 1 $options >one.txt
    text 2 $options >two.txt
    cmp one.txt two.txt && echo "options '$options': $(($(wc -c <one.txt) - 3)) bytes, the same on one rank and on two"
done
text 1 --temperature=0 >greedy.txt
text 1 --top-k=1 --seed=9 | cmp - greedy.txt && echo 'top-k of 1 is greedy'
text 1 --seed=1 >first.txt
text 1 --seed=2 | cmp -s - first.txt || echo 'another seed, another text'
attnres generate run --tokens=80 --prompt=AB --temperature=0 | head -c 42 | cmp - <(head -c 42 greedy.txt) && echo 'longer begins alike'
run attnres generate run --tokens=0 --prompt=AB
run attnres generate run
run attnres generate run --prompt=A --temperature=-1
run attnres generate run --prompt=A --top-k=many
run attnres generate run --prompt=A --tokens
run attnres generate nowhere --prompt=A
seq 2000 >numbers.txt
attnres data prepare numbers.txt shard.bin
attnres train $small run.dir=tokens data.kind=tokens data.train=shard.bin model.vocab=300 >/dev/null 2>&1
run attnres generate tokens --prompt=AB
echo 'a text of some length' >text.txt
run attnres eval tokens --file=text.txt
run attnres inspect tokens --file=text.txt
run attnres eval tokens
echo '{"good": "The cats sleep.", "bad": "The cats sleeps."}' >pairs.jsonl
run attnres eval tokens --task=pairs --file=pairs.jsonl
