run attnres data make ptr 2 - --hops 3
run attnres data info nowhere
echo "to be or not to be" >a.txt
run attnres data prepare a.txt a.bin
run attnres data info a.bin
run attnres data info a.txt
head -c 100 a.bin >b.bin
run attnres data info b.bin
