#!/bin/bash
# Two processes that train together on this machine, each one replica on the CPU; further arguments
# go to both:
#   bash docs/clusters/localhost.sh gin/digits_ms.gin --run_dir=runs/localhost
gin_file=${1:-gin/digits_ms.gin}
port=${PORT:-23450}
workers="[\"localhost:$port\", \"localhost:$((port + 1))\"]"
export CUDA_VISIBLE_DEVICES=-1

start() {
    task="{\"type\": \"worker\", \"index\": $1}"
    TF_CONFIG="{\"cluster\": {\"worker\": $workers}, \"task\": $task}" "${PYTHON:-python}" \
        experiments/run.py --gin_file="$gin_file" --run_dir=runs/localhost "${@:2}" &
}

start 1 "${@:2}"
other=$!
start 0 "${@:2}"
wait $! && wait $other    # The first worker's exit code, or the other's.
