run attnres --help
for command in train eval generate inspect checkpoint plan doctor data config report bench; do
    run attnres $command --help
done
