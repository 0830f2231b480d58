#!/bin/bash
# Two processes that train together on this machine, each one replica on the CPU:
#   bash docs/clusters/localhost.sh gin/digits_ms.gin
gin_file=${1:-gin/digits_ms.gin}
workers='["localhost:23450", "localhost:23451"]'
export CUDA_VISIBLE_DEVICES=-1

for index in 1 0; do
    TF_CONFIG="{\"cluster\": {\"worker\": $workers}, \"task\": {\"type\": \"worker\", \"index\": $index}}" \
        python experiments/run.py --gin_file="$gin_file" --run_dir=runs/localhost &
done
wait
