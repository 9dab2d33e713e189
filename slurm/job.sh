# What the job scripts of this folder share: where the program is, threads and binding from the allocation, when the job
# ends, and what its exit code means. Sourced; the environment may set
#
#   ATTNRES              the program (default build/attnres of the folder that the job was submitted from)
#   ATTNRES_ROOT         the folder with slurm/, if the job is submitted from another one
#   ATTNRES_MAX_RESTARTS times that a job may requeue itself (default 100)
attnres=${ATTNRES:-${ATTNRES_ROOT:-$SLURM_SUBMIT_DIR}/build/attnres}
max_restarts=${ATTNRES_MAX_RESTARTS:-100}

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 64
}
[ -x "$attnres" ] || fail "$attnres: no program here: build it, or set ATTNRES"
[ $# -ge 1 ] || fail "no configuration given: sbatch slurm/train.sbatch CONFIG [key=value ...]"

export SLURM_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK OPENBLAS_NUM_THREADS=1
# A pipeline's neighbours on one node: consecutive ranks fill a node before the next one.
export SLURM_DISTRIBUTION=block:block

# Slurm says so itself from 23.02 on. A job without a time limit has no end.
if [ -z "${SLURM_JOB_END_TIME-}" ]; then
    job_end=$(squeue --noheader --jobs "$SLURM_JOB_ID" --format=%e 2>/dev/null)
    SLURM_JOB_END_TIME=$(date --date "$job_end" +%s 2>/dev/null) && export SLURM_JOB_END_TIME
fi

# The batch shell's signals go to a launcher in the background; its exit code comes back.
wait_for() {
    local launcher=$1 code
    trap 'kill -USR1 $launcher 2>/dev/null' USR1
    trap 'kill -USR1 $launcher 2>/dev/null' TERM
    while :; do
        wait "$launcher"
        code=$?
        kill -0 "$launcher" 2>/dev/null || return $code
    done
}

# The folder of the run that `attnres train` is given these words for.
run_folder() { # CONFIG [key=value ...]
    local folder
    folder=$("$attnres" config "$@" --dump | sed -n '/^run:/,/^[a-z]/s/^  dir: *\([^ #]*\).*/\1/p')
    [ "$folder" != auto ] || folder=runs/$(basename "${1%.*}")
    echo "$folder"
}

is_resumable() { # folder
    grep -q '"resumable": *true' "$1/STATUS" 2>/dev/null
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
    sleep $((2 * ${timeout_s:-300} + 30)) &
    wait $! # so that a signal is heard
}

# 75 is the trainer's word for "stopped early, submit again"; no other code requeues.
end_or_requeue() { # exit code, the run's folder
    local code=$1 folder=$2 restarts=${SLURM_RESTART_COUNT:-0}
    wait_if_a_node_is_silent "$code"
    [ "$code" -eq 75 ] || exit "$code"
    is_resumable "$folder" || fail "$folder/STATUS does not say that the run can be resumed"
    if [ "$restarts" -ge "$max_restarts" ]; then
        echo "stopped early, but this job was restarted $restarts times already (ATTNRES_MAX_RESTARTS)" >&2
        exit 75
    fi
    echo "stopped early with a checkpoint saved: restart $((restarts + 1)) is requested" >&2
    scontrol requeue "$SLURM_JOB_ID"
}
