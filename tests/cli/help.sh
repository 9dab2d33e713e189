run attnres --help
for command in train eval generate plan doctor data config; do
    run attnres $command --help
done
