# What the job scripts of this folder share: where the program is, threads and binding from the allocation, when the job
# ends, and what its exit code means. Sourced; the environment may set
#
#   ATTNRES              the program (default build/attnres of the folder that the job was submitted from)
#   ATTNRES_ROOT         the folder with slurm/, if the job is submitted from another one
#   ATTNRES_MAX_RESTARTS times that a job may requeue itself (default 100)
attnres=${ATTNRES:-${ATTNRES_ROOT:-$SLURM_SUBMIT_DIR}/build/attnres}
max_restarts=${ATTNRES_MAX_RESTARTS:-100}

# A task of an array by its index: its last one's number is the array's, which stands for all tasks.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}

# USR1 to the batch shell before there is a launcher to pass it on to.
stop_is_asked=
trap 'stop_is_asked=yes' USR1

fail() {
    echo "slurm/job.sh: $*" >&2
    exit 64
}
[ -x "$attnres" ] || fail "$attnres: no program here: build it, or set ATTNRES"
[ $# -ge 1 ] || fail "no configuration given: sbatch slurm/train.sbatch CONFIG [key=value ...]"

export SLURM_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
# The trainer takes no more threads than this, also where Slurm binds nothing.
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK OPENBLAS_NUM_THREADS=1
# A pipeline's neighbours on one node: consecutive ranks fill a node before the next one.
export SLURM_DISTRIBUTION=block:block

# When the job ends, as squeue or scontrol says; nothing if neither answers. Times as people have chosen to see them may
# lack the day or the year.
find_job_end() {
    local end
    export SLURM_TIME_FORMAT=standard
    end=$(squeue --noheader --jobs "$job" --format=%e 2>/dev/null | head -n 1)
    [ -n "$end" ] || end=$(scontrol --oneliner show job "$job" 2>/dev/null | sed -n '1s/.* EndTime=\([^ ]*\).*/\1/p')
    [ -n "$end" ] && date --date "$end" +%s 2>/dev/null
}

# Slurm says so itself from 23.02 on. A job without a time limit has no end.
[ -n "${SLURM_JOB_END_TIME-}" ] || SLURM_JOB_END_TIME=$(find_job_end)
export SLURM_JOB_END_TIME

# The batch shell's signals go to this launcher in the background; its exit code comes back. 138 is what it says when USR1
# comes before it listens.
launch() { # command
    local launcher code is_interrupted
    [ -z "$stop_is_asked" ] || return 138
    "$@" &
    launcher=$!
    trap 'is_interrupted=yes; kill -USR1 $launcher 2>/dev/null' USR1 TERM
    if [ -n "$stop_is_asked" ]; then # since we looked; a shell that was just forked would lose it
        sleep 1
        kill -USR1 $launcher
    fi
    while :; do
        is_interrupted=
        wait $launcher
        code=$?
        [ -n "$is_interrupted" ] || return $code
    done
}

# The folder of the run that `attnres train` is given these words for.
run_folder() { # CONFIG [key=value ...]
    "$attnres" config "$@" --run-dir
}

is_resumable() { # folder
    grep -q '"resumable": *true' -- "$1/STATUS" 2>/dev/null
}

# What srun or mpirun says when a node is lost: 69 (a message failed) or a killed rank. Slurm requeues the job itself once
# it has missed the node for SlurmdTimeout, if the job still runs then: so a silent node is waited for.
wait_if_a_node_is_silent() { # exit code
    local timeout_s
    [ "$1" -eq 69 ] || [ "$1" -gt 128 ] || return 0
    timeout 20 srun --overlap --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task=1 true \
        >/dev/null 2>&1 && return 0
    timeout_s=$(scontrol show config | sed -n 's/^SlurmdTimeout *= *\([0-9]*\).*/\1/p')
    echo "not every node answers: waiting for Slurm to notice and to requeue the job" >&2
    sleep $((2 * ${timeout_s:-300} + 30))
}

# A job may still save after scancel, or behind its time limit; requeued, it would come back. While the script is at it
# Slurm calls such a job COMPLETING.
is_ended() {
    local state
    state=$(scontrol --oneliner show job "$job" 2>/dev/null | sed -n '1s/.* JobState=\([A-Z_]*\).*/\1/p')
    case $state in
    CANCELLED | COMPLETING | DEADLINE | PREEMPTED | TIMEOUT)
        echo "stopped early, but Slurm has ended job $job ($state): submit the same line again to go on" >&2
        ;;
    *) return 1 ;;
    esac
}

# Slurm ends the script once the job is requeued.
requeue() {
    local tries=6
    while ! scontrol requeue "$job"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            echo "Slurm does not requeue job $job: submit the same line again to go on" >&2
            exit 75
        fi
        sleep 20
    done
    exit 0
}

# 75 is the trainer's word for "stopped early, submit again". USR1 (138) kills only ranks or a launcher that do not
# listen yet, so nothing is lost with them. No other code requeues. From here on USR1 asks for nothing and cuts no wait
# short; TERM ends the script.
end_or_requeue() { # exit code, the run's folder
    local code=$1 folder=$2 restarts=${SLURM_RESTART_COUNT:-0} usr1=138
    trap '' USR1
    trap - TERM
    [ "$code" -eq $usr1 ] || wait_if_a_node_is_silent "$code"
    [ "$code" -eq 75 ] || [ "$code" -eq $usr1 ] || exit "$code"
    if [ "$code" -eq 75 ] && ! is_resumable "$folder"; then
        echo "stopped early, but $folder/STATUS does not say that the run can be resumed" >&2
        exit 75
    fi
    ! is_ended || exit "$code"
    if [ "$restarts" -ge "$max_restarts" ]; then
        echo "stopped early, but this job was restarted $restarts times already (ATTNRES_MAX_RESTARTS)" >&2
        exit 75
    fi
    echo "stopped early and resumable: restart $((restarts + 1)) is requested" >&2
    requeue
}
