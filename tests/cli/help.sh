run attnres --help
for command in train eval generate plan data config; do
    run attnres $command --help
done
