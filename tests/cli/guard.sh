# Numbers that are not finite: updates are skipped, and the run ends after guard.max_skips of them.
run ranks 2 attnres train $small optim.lr=1000 optim.clip=0 train.steps=20 guard.max_skips=2 2>log.txt
errors_of log.txt | without_numbers
sed 's/, "time.*//' run/STATUS | without_numbers
