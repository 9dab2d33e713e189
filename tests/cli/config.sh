run attnres config model.kinds=full
run attnres config model.heads=3 train.steps=many batch.microbatch=3
run attnres config --explain model.kind
run attnres config --explain model.kid
cat >wrong.yaml <<'END'
model:
  kind: blok
  dim: .nan
  layers: 4
  layers: 5
optim: {lr: 1e-3x}
trian: {steps: 10}
END
run attnres config wrong.yaml
printf '\357\273\277model: {dim: 48}\n' >marked.yaml
attnres config marked.yaml | grep dim:
printf '\357\273\277model: {dmi: 48}\n' >marked.yaml
run attnres config marked.yaml
printf 'a: &b 1\n' >anchor.yaml
run attnres config anchor.yaml
run attnres train nowhere.yaml
mkdir run
run attnres train run --resume
run attnres config run.dir= train.init= pipeline.costs= data.val=

echo 'the folder of the run, as train chooses it'
touch sweep.v1.yml
run attnres config sweep.v1.yml --run-dir
run attnres config optim.lr=3e-4 run.dir=../x=1 --run-dir
run attnres config optim.lr=3e-4 --run-dir

echo 'dump, load, dump: equal'
attnres config $configs/quickstart.yaml --dump >first.yaml
attnres config first.yaml --dump >second.yaml
run cmp first.yaml second.yaml
