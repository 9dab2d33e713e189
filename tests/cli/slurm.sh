# What the job scripts make of Slurm's answers and of exit codes, with programs of ours in the place of Slurm's
# (tests/slurm has the real ones).
mkdir stubs
stub() { printf '#!/bin/bash\n%s\n' "$(cat)" >"stubs/$1" && chmod +x "stubs/$1"; }
stub srun <<'END'
[[ "$*" != *' true' ]] || exit ${probe_says:-0}
echo "started by srun ${*/#$ATTNRES/attnres}, in order $SLURM_DISTRIBUTION"
while [[ $1 == -* ]]; do shift; done
exec "$@"
END
stub mpirun <<'END'
echo "started by mpirun ${*/#$ATTNRES/attnres}"
exec $ATTNRES
END
stub squeue <<'END'
[ "$SLURM_TIME_FORMAT" = standard ] || squeue_says='Tomorr 10:30\n'
echo "squeue $*" >>asked.txt
[ -z "$job_pid" ] || { until [ -s $job_pid ]; do :; done; kill -USR1 $(cat $job_pid); }
printf "$squeue_says"
END
stub scontrol <<'END'
case $1 in
requeue)
    echo "scontrol $*"
    echo x >>tries.txt
    [ "$(wc -l <tries.txt)" -gt "${requeue_fails:-0}" ] ;;
*) printf "$scontrol_says" ;;
esac
END
stub sleep <<'END'
echo "(waits $* s)"
[ -z "$signal_meanwhile" ] || {
    kill -$signal_meanwhile $PPID
    command -p sleep 1
    kill -0 $PPID && echo '(waits to the end)'
}
END
stub trainer <<'END'
[ "$1" != config ] || { echo run; exit; }
[[ "$*" != *--dry-run* ]] || { echo '"dir": "run"'; exit; }
echo "ends at ${SLURM_JOB_END_TIME:-an unknown time}, threads $OMP_NUM_THREADS"
[ -z "$trainer_dies" ] || kill -USR1 $$
exit ${trainer_says:-0}
END
batch() { # script, its arguments: as Slurm runs it
    rm -f tries.txt asked.txt pid.txt
    echo "\$ sbatch $*"
    env TZ=UTC PATH="$PWD/stubs:$PATH" ATTNRES_ROOT=$root ATTNRES="${ATTNRES-$(command -v attnres)}" \
        SLURM_JOB_ID=${SLURM_JOB_ID-12} SLURM_JOB_NUM_NODES=1 SLURM_SUBMIT_DIR=/ bash "$root/slurm/$@" >out.txt 2>err.txt &
    echo $! >pid.txt
    wait $!
    echo "exit code $?"
    grep -hE '^(ends at|scontrol|\(waits|slurm/job.sh|submit|stopped early|Slurm does)|resuming after' out.txt err.txt
}

echo 'a run is found again whatever its name'
for dir in ../x=1 -a+b auto; do
    cp $small 3e-4.conf
    batch train.sbatch 3e-4.conf run.dir=$dir run.max_hours=1e-9
    batch train.sbatch 3e-4.conf run.dir=$dir
done
ls runs
echo 'a wrong configuration starts nothing'
batch train.sbatch $small run.dirs=x
cat err.txt
echo 'no program, no configuration, no job.sh'
ATTNRES=nowhere batch train.sbatch $small
batch train.sbatch
SLURM_SUBMIT_DIR=/ bash $root/slurm/train.sbatch $small 2>&1 | tail -n 1

export ATTNRES=$PWD/stubs/trainer
echo "the job's end, as squeue says, else scontrol, else nobody"
squeue_says='2027-01-02T03:04:05\n' batch train.sbatch x
squeue_says='2027-01-02T03:04:05\n2027-01-02T03:09:05\n' SLURM_CPUS_PER_TASK=3 batch train.sbatch x
scontrol_says='JobId=12 EndTime=2027-01-02T03:04:05 Deadline=N/A\n' batch train.sbatch x
squeue_says='N/A\n' batch train.sbatch x
batch train.sbatch x
SLURM_JOB_END_TIME=1798859045 batch train.sbatch x

echo 'what the ranks get is what the allocation says'
for script in train train_mpirun sweep; do
    SLURM_CPUS_PER_TASK=3 SLURM_ARRAY_TASK_ID=1 batch $script.sbatch x
    grep '^started by' out.txt
done

echo 'hardware threads count for mpirun where Slurm counts them'
smt='NodeName=n CoresPerSocket=4 CPUAlloc=0 CPUTot=16 CPULoad=0 Sockets=2 Boards=1 ThreadsPerCore=2\n'
for cpus in 16 8; do
    scontrol_says=${smt/CPUTot=16/CPUTot=$cpus} batch train_mpirun.sbatch x >/dev/null
    grep -o 'mpirun.*PE=1' out.txt
done
scontrol_says=$smt SLURM_HINT=nomultithread batch train_mpirun.sbatch x >/dev/null
grep -o 'mpirun.*PE=1' out.txt

echo 'the last task of an array has the number of the array'
mkdir run && echo '{"resumable": true}' >run/STATUS
export trainer_says=75
SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=3 batch train.sbatch x
cat asked.txt

echo 'Slurm does not answer, twice, or never'
requeue_fails=2 batch train.sbatch x
requeue_fails=9 batch train.sbatch x
echo 'cancelled, and saved'
scontrol_says='JobId=12 JobState=COMPLETING Reason=None\n' batch train.sbatch x
echo 'restarted often enough'
SLURM_RESTART_COUNT=100 batch train.sbatch x
echo 'nothing to resume'
echo '{"resumable": false}' >run/STATUS
batch train.sbatch x
echo 'USR1 kills a rank that does not listen yet'
trainer_dies=yes batch train.sbatch x
echo 'another code'
trainer_says=74 batch train.sbatch x

echo 'a node is silent: signals while the script waits for Slurm to see it'
export probe_says=1 scontrol_says='SlurmdTimeout           = 60 sec\n'
for signal in USR1 TERM; do
    trainer_says=69 signal_meanwhile=$signal batch train_mpirun.sbatch x
done
unset probe_says scontrol_says

echo 'USR1 to the batch shell before mpirun runs, and while it does'
echo '{"resumable": true}' >run/STATUS
job_pid=pid.txt batch train_mpirun.sbatch x
cat >ends_while_asked.sh <<'END'
. $root/slurm/job.sh
kill() { builtin kill "$@" && sleep 0.5; } # the launcher is gone before anybody looks
(until [ -e listens ]; do :; done; builtin kill -USR1 $$) &
launch bash -c 'trap "exit 75" USR1; touch listens; for i in {1..50}; do sleep 0.1; done'
echo "code $?"
END
export root
SLURM_JOB_ID=12 SLURM_JOB_END_TIME=1 bash ends_while_asked.sh x
