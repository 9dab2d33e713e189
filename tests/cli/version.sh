run attnres --version | sed 's/(.*)/(REVISION)/'
for words in --version --help 'train --help'; do
    run sh -c "attnres $words >/dev/full"
done
