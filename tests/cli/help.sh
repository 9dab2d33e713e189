run attnres --help
for command in train eval generate inspect checkpoint plan doctor data config fit report sweep bench; do
    run attnres $command --help
done
