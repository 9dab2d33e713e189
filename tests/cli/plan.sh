run attnres plan $configs/quickstart.yaml --ranks 2
run attnres plan $configs/quickstart.yaml --ranks 9 pipeline.stages=4
run attnres plan $configs/quickstart.yaml --ranks 9
run attnres plan model.blocks=7
